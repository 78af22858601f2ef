-- One publish: append to the channel's log, trim it, set its life, publish the line. Atomic, and readable in MONITOR.
--
-- KEYS[1] the log          ARGV[1] id of the event      ARGV[4] salt, 1 to 2^32
--                          ARGV[2] name of the event    ARGV[5] events to keep; 1 keeps exactly one
--                          ARGV[3] the line             ARGV[6] life of the log after this event, ms
--                                                       ARGV[7] the channel
-- Answers {position, how many subscribers got it}.
--
-- The position is `<ms>-<n>`. The salt in n makes sure that two primaries never give one id to two events: not in the
-- same millisecond, and not when the clock of the second one is behind (then n grows from the last entry's). Lua counts
-- in doubles, so n stays below 2^52; past that the millisecond moves on by one.

local key = KEYS[1]

local function last_id()
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if newest[1] then return newest[1][1] end
  if redis.call('EXISTS', key) == 0 then return '0-0' end
  return redis.call('XINFO', 'STREAM', key)[8]        -- a log that somebody emptied by hand
end

local function next_id(last)
  local time = redis.call('TIME')
  local ms, n = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[4])
  local last_ms, last_n = string.match(last, '^(%d+)-(%d+)$')
  last_ms, last_n = tonumber(last_ms), tonumber(last_n)
  if ms <= last_ms then
    ms, n = last_ms, last_n + 1 + n
    if n >= 2^52 then ms, n = ms + 1, tonumber(ARGV[4]) end
  end
  return string.format('%.0f-%.0f', ms, n)
end

local function append(previous)
  local position = next_id(previous)
  local trim = ARGV[5] == '1' and '=' or '~'
  local reply = redis.pcall('XADD', key, 'MAXLEN', trim, ARGV[5], position,
    'previous', previous, 'id', ARGV[1], 'event', ARGV[2], 'line', ARGV[3])
  return position, reply
end

local previous = last_id()
local position, reply = append(previous)
if type(reply) == 'table' and reply.err and string.find(reply.err, 'equal or smaller', 1, true) then
  previous = redis.call('XINFO', 'STREAM', key)[8]    -- somebody deleted the newest entry by hand
  position, reply = append(previous)
end
if type(reply) == 'table' and reply.err then return reply end
redis.call('PEXPIRE', key, ARGV[6])
local spliced = '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(ARGV[3], 2)
return {position, redis.call('PUBLISH', ARGV[7], spliced)}
