-- The answering side: a responder shows its life, answers, or leaves. Atomic, and readable in MONITOR.
--
-- beat:   KEYS[1] the hash of the responder; then, for each request, the stream of questions and the set of responders.
--         ARGV[2] the responder  ARGV[3] life of the hash, ms  ARGV[4] '1': takes questions  ARGV[5…] fields and values
--         Answers Redis' time, ms.
-- answer: KEYS[1] the stream     KEYS[2] key of the answer
--         ARGV[2] the responder  ARGV[3] the entry  ARGV[4] the message  ARGV[5] the channel  ARGV[6] life of the key, ms
--         Answers 1 where the question was still this responder's, or was answered by an earlier attempt; else 0.
-- leave:  KEYS as for beat; ARGV[2] the responder. What the responder still holds is left for edges to find.
--
-- decisions/0104: an answer counts only while the entry is pending for this responder: no question has two answers.

local group = 'responders'
local DAY_MS, FORGET_MS, SWEEP_MS, SWEPT = 86400000, 60000, 600000, 20

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_held(questions, responder, first, last)
  local pending = redis.pcall('XPENDING', questions, group, first, last, 1, responder)
  return not pending.err and pending[1] ~= nil
end

-- Questions that no edge took back: the edge died, and so did the responder.
local function sweep(questions, now)
  local before = string.format('%d', now - SWEEP_MS)
  for _, old in ipairs(redis.call('XRANGE', questions, '-', before, 'COUNT', SWEPT)) do
    redis.pcall('XACK', questions, group, old[1])
    redis.call('XDEL', questions, old[1])
  end
end

local function beat()
  local now, hash = now_ms(), KEYS[1]
  for i = 5, #ARGV, 2 do redis.call('HSET', hash, ARGV[i], ARGV[i + 1]) end
  redis.call('PEXPIRE', hash, ARGV[3])
  for i = 2, #KEYS, 2 do
    local questions, responders = KEYS[i], KEYS[i + 1]
    local groups = redis.pcall('XINFO', 'GROUPS', questions)
    if groups.err or not groups[1] then redis.call('XGROUP', 'CREATE', questions, group, '0', 'MKSTREAM') end
    redis.call('PEXPIRE', questions, DAY_MS)
    sweep(questions, now)
    if ARGV[4] == '1' then
      redis.call('ZADD', responders, now, ARGV[2])
    else
      redis.call('ZREM', responders, ARGV[2])
    end
    redis.call('ZREMRANGEBYSCORE', responders, '-inf', now - FORGET_MS)
    redis.call('PEXPIRE', responders, FORGET_MS)
  end
  return string.format('%d', now)
end

local function answer()
  local entry = ARGV[3]
  if not is_held(KEYS[1], ARGV[2], entry, entry) then return redis.call('EXISTS', KEYS[2]) end
  redis.call('XACK', KEYS[1], group, entry)
  redis.call('XDEL', KEYS[1], entry)
  redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[6])
  redis.call('PUBLISH', ARGV[5], ARGV[4])
  return 1
end

local function leave()
  for i = 2, #KEYS, 2 do
    redis.call('ZREM', KEYS[i + 1], ARGV[2])
    -- Without the consumer its entries would be waiting again, and look as if nobody had begun them.
    if not is_held(KEYS[i], ARGV[2], '-', '+') then redis.pcall('XGROUP', 'DELCONSUMER', KEYS[i], group, ARGV[2]) end
  end
  return redis.call('DEL', KEYS[1])
end

if ARGV[1] == 'beat' then return beat() end
if ARGV[1] == 'answer' then return answer() end
return leave()
