"""What the server runs as one step, so that nobody sees half a record.

A vector that exists is removed before it is added: the server does not pass a changed one on to its log and replicas.
"""

from __future__ import annotations

__all__ = ["DROP", "REPLACE"]

REPLACE = """
local dimension, partitions, vectors, metadata, texts, order, words = unpack(KEYS)
if redis.call('GET', dimension) ~= ARGV[1] then return false end

local function change_words(command, first, count)
  for start = first, first + count - 1, 1000 do
    local members = {}
    for i = start, math.min(start + 999, first + count - 1) do
      if command == 'ZADD' then members[#members + 1] = 0 end
      members[#members + 1] = ARGV[i]
    end
    redis.call(command, words, unpack(members))
  end
end

local changed, at = {}, 3
while at <= #ARGV do
  local id, seen, olds = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local new = at + 3 + olds
  local news = tonumber(ARGV[new])
  local text = redis.call('HGET', texts, id)
  local held = text and redis.sha1hex(redis.call('HGET', metadata, id) .. text) or ''
  if held ~= seen then
    changed[#changed + 1] = id
  else
    change_words('ZREM', at + 3, olds)
    redis.call('VREM', vectors, id)
    if news < 0 then
      redis.call('HDEL', metadata, id)
      redis.call('HDEL', texts, id)
      redis.call('ZREM', order, id)
    else
      redis.call('VADD', vectors, 'FP32', ARGV[new + 1], id, 'NOQUANT', 'SETATTR', ARGV[new + 2])
      redis.call('HSET', metadata, id, ARGV[new + 3])
      redis.call('HSET', texts, id, ARGV[new + 4])
      redis.call('ZADD', order, 0, id)
      change_words('ZADD', new + 5, news)
    end
  end
  at = new + 1 + (news < 0 and 0 or 4 + news)
end
redis.call(redis.call('EXISTS', order) == 1 and 'SADD' or 'SREM', partitions, ARGV[2])
return changed
"""
"""Replace records that are still as they were seen; the ids of those that are not, or nil without the space.

ARGV: the dimension, the partition, and for each record its id, the hash of what was seen of it, its old words with
their number before them, and then -1, or the number of new words, the vector, the attributes, the metadata, the text,
and the new words.
"""

DROP = """
local dimension, partitions = unpack(KEYS)
for _, partition in ipairs(redis.call('SMEMBERS', partitions)) do
  for _, kind in ipairs({'vectors', 'metadata', 'texts', 'order', 'words'}) do
    redis.call('UNLINK', dimension .. ':' .. kind .. ':' .. partition)
  end
end
return redis.call('UNLINK', dimension, partitions)
"""
"""Remove a space with all its partitions."""
