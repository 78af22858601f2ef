"""The doctor: facts about Redis and edges, judged against a table of checks; changes nothing, and knows no terminal."""
