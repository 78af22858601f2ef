-- Several publishes on one channel, in the way of `publish.lua`: for first attempts on a log as it usually is.
--
-- KEYS[1] the log          ARGV[1] events to keep       ARGV[2] life of the log after these events, ms
-- Of each event behind:    the event's id, the event's name, the line, the salt
--
-- Answers the places of the first events in order, `position receivers` each, joined by commas. Events without a place
-- were not touched: each goes through `publish.lua` then, which knows what is rare, and says what is refused. An error
-- is of all events, and none was touched.
--
-- decisions/0160: what events on a channel have in common is paid for once. Ends at the first event that `XADD` refuses,
-- so that no event overtakes.

local call, key, keep, life = redis.call, KEYS[1], ARGV[1], ARGV[2]
local channel = string.sub(key, 10, -2)
local may = redis.acl_check_cmd
-- decisions/0060: stored and published, or neither
if may and not (may('PEXPIRE', key) and may('PUBLISH', channel)) then return '' end
local newest = call('XREVRANGE', key, '+', '-', 'COUNT', '1')[1]
local previous = newest and newest[1] or call('EXISTS', key) == 0 and '0-0'
if not previous then return '' end
local time = call('TIME')
local ms = time[1] .. string.sub('00000' .. time[2], -6, -4) .. '-'
local n = string.find(previous, ms, 1, true) == 1 and tonumber(string.sub(previous, #ms + 1))
local trim, places = keep == '1' and '=' or '~', {}

for index = 3, #ARGV, 4 do
  local salt, position = ARGV[index + 3], nil
  if n then                                            -- the same millisecond
    n = n + 1 + salt
    if n >= 2^52 then break end
    position = ms .. string.format('%.0f', n)
  else
    n, position = tonumber(salt), ms .. salt
  end
  local line = ARGV[index + 2]
  local reply = redis.pcall('XADD', key, 'MAXLEN', trim, keep, position,
    'previous', previous, 'id', ARGV[index], 'event', ARGV[index + 1], 'line', line)
  if type(reply) ~= 'string' then
    -- Of a Redis that takes nothing now, an answer for all. An id behind the last one is publish.lua's to mend.
    local is_behind = string.find(reply.err, 'equal or smaller', 1, true) or string.find(reply.err, 'exhausted', 1, true)
    if index == 3 and not is_behind then return reply end
    break
  end
  if not places[1] then call('PEXPIRE', key, life) end
  local receivers = call('PUBLISH', channel,
    '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(line, 2))
  places[#places + 1] = position .. (receivers == 1 and ' 1' or receivers == 0 and ' 0' or ' ' .. receivers)
  previous = position
end
return table.concat(places, ',')
