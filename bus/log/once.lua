-- A publish that is stored once, whoever repeats it: put around the script that appends, for events of clients alone.
--
-- The last of KEYS  the memory of the publish: the position of the event, for as long as a repetition may come
-- The last of ARGV  how long that is, ms
--
-- An event that is refused while another user holds a key of a state (decisions/0112) has one key more in front of that
-- one, the state's hash; and five arguments more: the event that holds, the key, the holder's field, the user, 'unless'.
--
-- Answers what the script inside answers; to a repetition `position 0`, of the first; {'held', user} for a held key.
--
-- decisions/0106: a client repeats on another connection, at another edge, and numbers its requests from 1. So the key
-- is made of the user, the request's id and the data, and no search of the log by the event's id could take its place.

local function append(KEYS, ARGV)
-- CUT
end

local once, life_ms = table.remove(KEYS), table.remove(ARGV)
local state, user, field, name, event
if ARGV[#ARGV] == 'unless' then
  table.remove(ARGV)
  state, user, field = table.remove(KEYS), table.remove(ARGV), table.remove(ARGV)
  name, event = table.remove(ARGV), table.remove(ARGV)
end

-- The other user who holds the key; nil for nobody, and for whatever was typed there.
local function held()
  local line = redis.pcall('HGET', state, name)
  local is_json, message = pcall(cjson.decode, type(line) == 'string' and line or '')
  if not is_json or type(message) ~= 'table' or message.event ~= event or type(message.data) ~= 'table' then return nil end
  local holder = message.data[field]
  return type(holder) == 'string' and holder ~= user and holder or nil
end

local known = redis.pcall('GET', once)
if type(known) == 'string' and string.match(known, '^%d+%-%d+$') then return known .. ' 0' end
-- A key of another type, or with another text, was typed by hand and is written over.
if type(known) == 'table' and known.err and not string.find(known.err, 'WRONGTYPE', 1, true) then return known end
-- decisions/0060: stored and remembered, or neither. Refused before the log has the event.
if redis.acl_check_cmd and not redis.acl_check_cmd('SET', once, '', 'PX', life_ms) then
  redis.pcall('SET', once, '', 'PX', life_ms)          -- refused: a line of ACL LOG for administrators
  return redis.error_reply('NOPERM the user of Redis has no permission to SET ' .. once)
end
local holder = state and held()
if holder then return {'held', holder} end
local answer = append(KEYS, ARGV)
if type(answer) == 'string' then redis.call('SET', once, string.match(answer, '^[^ ]+'), 'PX', life_ms) end
return answer
