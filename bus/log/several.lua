-- Several publishes, on one channel or on many, in the way of `publish.lua`: for first attempts on logs as they usually are.
--
-- KEYS the logs, each once       ARGV[1] events to keep       ARGV[2] life of a log after its events, ms
-- Of each log behind:            how many events are for that log
-- Of each event behind, in the order of the logs: the event's id, the event's name, the line, the salt
--
-- Answers a text: for each event its place, `position receivers`, or nothing, joined by commas. Events without a place were
-- not touched: each goes through `publish.lua` then, which knows what is rare, and says what is refused. An error is of all
-- events, and none was touched.
--
-- decisions/0160, 0166: what events have in common is paid for once. A log ends at the first event that `XADD`
-- refuses, so that no event overtakes; other logs go on.

local call, keep, life, places = redis.call, ARGV[1], ARGV[2], {}
local may, trim = redis.acl_check_cmd, keep == '1' and '=' or '~'
local time = call('TIME')
local second = time[1]
local ms = second .. string.sub('00000' .. time[2], -6, -4) .. '-'
local index = 3 + #KEYS

for number, key in ipairs(KEYS) do
  local channel, last, n, lives = string.sub(key, 10, -2), index + 4 * ARGV[2 + number] - 4, nil, nil
  -- decisions/0060: stored and published, or neither
  local entries = (not may or may('PEXPIRE', key) and may('PUBLISH', channel))
    and redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', '1')
  local previous
  if entries and entries[1] then
    previous = entries[1][1]
    n = string.find(previous, ms, 1, true) == 1 and tonumber(string.sub(previous, #ms + 1))
    lives = #life > 7 and string.find(previous, second, 1, true) == 1 and entries[1][2][1] == 'previous'
  elseif entries and not entries.err and redis.pcall('EXISTS', key) == 0 then
    previous = '0-0'
  end

  for at = index, last, 4 do
    local salt, line, position, reply = ARGV[at + 3], ARGV[at + 2], nil, nil
    if n then                                           -- the same millisecond
      n = n + 1 + salt
      local low = n % 1000000                           -- decisions/0166: two small numbers
      position = n >= 1000000 and n < 2^50 and ms .. string.format('%d%06d', (n - low) / 1000000, low)
    elseif previous then
      n, position = tonumber(salt), ms .. salt
    end
    if position and (keep == '1' or at == last) then    -- the last event trims for all
      reply = redis.pcall('XADD', key, 'MAXLEN', trim, keep, position,
        'previous', previous, 'id', ARGV[at], 'event', ARGV[at + 1], 'line', line)
    elseif position then
      reply = redis.pcall('XADD', key, position,
        'previous', previous, 'id', ARGV[at], 'event', ARGV[at + 1], 'line', line)
    end
    if type(reply) == 'string' then
      if not lives then call('PEXPIRE', key, life) end
      local receivers = call('PUBLISH', channel,
        '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(line, 2))
      places[#places + 1] = position .. (receivers == 1 and ' 1' or receivers == 0 and ' 0' or ' ' .. receivers)
      previous, lives = position, true
    else
      -- Of a Redis that takes nothing now, an answer for all, where all are of one log (the first begins at 4). An id behind
      -- the last one is publish.lua's to mend.
      if reply and at == 4 and not string.find(reply.err, 'equal or smaller', 1, true)
        and not string.find(reply.err, 'exhausted', 1, true) then return reply end
      for _ = at, last, 4 do places[#places + 1] = '' end
      break
    end
  end
  index = last + 4
end
return table.concat(places, ',')
