/* Where callgrind begins and ends to count. Outside of valgrind these are a few idle instructions. */
#include <valgrind/callgrind.h>

void count_begin(void);
void count_end(void);

void count_begin(void)
{
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void count_end(void)
{
    CALLGRIND_DUMP_STATS; /* and counts on: to begin anew, all code would be translated again, one second each time */
}
