-- The users in rooms. One script with five words, as one script is loaded on each connection.
--
-- Of a room: KEYS[1] is a hash, edge -> connections there; KEYS[2] is a hash, `edge|user` -> JSON of the user, only in
-- rooms that name members. Both share a slot. A user has come when no other edge of the room has the user, and has left
-- when no other edge has the user any more: decided here, so told once, by whichever edge. KEYS[3], where the service
-- has events for that, is a hash of those still to be published: number-time -> JSON, and the last number under '#'.
-- Of a service: KEYS[1] is a sorted set, edge -> time of the last beat; below 0 the edge is buried, and never comes back.

local word, edge = ARGV[1], ARGV[2]

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function others()
  local found = {}
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if name ~= edge then
      found[#found + 1] = name
    end
  end
  return found
end

local function is_elsewhere(user, edges)
  for _, name in ipairs(edges) do
    if redis.call('HEXISTS', KEYS[2], name .. '|' .. user) == 1 then
      return true
    end
  end
  return false
end

local function owe(kind, texts)
  for _, text in ipairs(KEYS[3] and texts or {}) do
    local number = redis.call('HINCRBY', KEYS[3], '#', 1)
    local field = string.format('%.0f-%.0f', number, now_ms())
    redis.call('HSET', KEYS[3], field, '{"' .. kind .. '":' .. text .. '}')
    redis.call('PEXPIRE', KEYS[3], 3600000)
  end
end

local function publish_users(channel, joined, left)
  if #joined + #left > 0 then
    owe('joined', joined)
    owe('left', left)
    local text = '{"joined":[' .. table.concat(joined, ',') .. '],"left":[' .. table.concat(left, ',') .. ']}'
    redis.call('PUBLISH', channel, text)
  end
end

local function publish_count(channel)
  local total = 0
  for _, text in ipairs(redis.call('HVALS', KEYS[1])) do
    total = total + (tonumber(text) or 0)
  end
  redis.call('PUBLISH', channel, '{"count":' .. string.format('%.0f', total) .. '}')
end

-- The connections of the edge in the room; 0 takes the edge out.
local function note_edge(connections, life_ms)
  if tonumber(connections) > 0 then
    redis.call('HSET', KEYS[1], edge, connections)
  else
    redis.call('HDEL', KEYS[1], edge)
  end
  redis.call('PEXPIRE', KEYS[1], life_ms)
end

-- members EDGE CONNECTIONS LIFE_MS CHANNEL [USER VALUE]...: an empty value takes the user out.
if word == 'members' then
  local joined, left, edges = {}, {}, others()
  for index = 6, #ARGV, 2 do
    local user, value = ARGV[index], ARGV[index + 1]
    local field = edge .. '|' .. user
    if value ~= '' then
      if redis.call('HSET', KEYS[2], field, value) == 1 and not is_elsewhere(user, edges) then
        joined[#joined + 1] = value
      end
    elseif redis.call('HDEL', KEYS[2], field) == 1 and not is_elsewhere(user, edges) then
      left[#left + 1] = cjson.encode(user)
    end
  end
  note_edge(ARGV[3], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  publish_users(ARGV[5], joined, left)
  return #joined + #left
end

-- count EDGE CONNECTIONS LIFE_MS CHANNEL
if word == 'count' then
  note_edge(ARGV[3], ARGV[4])
  publish_count(ARGV[5])
  return 0
end

-- prune EDGE CURSOR CHANNEL: takes out some of an edge's users; returns the cursor to go on with, '0' at the end.
-- In parts, as a pass through a room of 100,000 users would hold up all clients of this Redis.
if word == 'prune' then
  if redis.call('HEXISTS', KEYS[1], edge) == 0 then
    return '0'
  end
  local cursor = '0'
  if KEYS[2] then
    local left, edges, front = {}, others(), edge .. '|'
    local page = redis.call('HSCAN', KEYS[2], ARGV[3], 'COUNT', 1000)
    cursor = page[1]
    for index = 1, #page[2], 2 do
      local field = page[2][index]
      if string.sub(field, 1, #front) == front and redis.call('HDEL', KEYS[2], field) == 1 then
        local user = string.sub(field, #front + 1)
        if not is_elsewhere(user, edges) then
          left[#left + 1] = cjson.encode(user)
        end
      end
    end
    publish_users(ARGV[4], {}, left)
  end
  if cursor == '0' then
    redis.call('HDEL', KEYS[1], edge)
    if not KEYS[2] then
      publish_count(ARGV[4])
    end
  end
  return cursor
end

-- beat EDGE FORGET_MS: returns {1, or 0 for a buried edge, the time, edge, beat, edge, beat, ...}.
if word == 'beat' then
  local now, forget_ms = now_ms(), tonumber(ARGV[3])
  local score = redis.call('ZSCORE', KEYS[1], edge)
  local is_alive = not (score and tonumber(score) < 0)
  if is_alive then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), edge)
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('%.0f', forget_ms - now), string.format('%.0f', now - forget_ms))
  redis.call('PEXPIRE', KEYS[1], forget_ms)
  local answer = {is_alive and 1 or 0, string.format('%.0f', now)}
  for _, part in ipairs(redis.call('ZRANGE', KEYS[1], 0, 999, 'WITHSCORES')) do
    answer[#answer + 1] = part
  end
  return answer
end

-- bury EDGE [BEAT]: only if the edge's last beat is still BEAT; returns 1 if the edge is buried now.
if word == 'bury' then
  local score = redis.call('ZSCORE', KEYS[1], edge)
  if ARGV[3] and (not score or tonumber(score) ~= tonumber(ARGV[3])) then
    return (score and tonumber(score) < 0) and 1 or 0
  end
  redis.call('ZADD', KEYS[1], '-' .. string.format('%.0f', now_ms()), edge)
  return 1
end

return redis.error_reply('ERR no such word: ' .. word)
