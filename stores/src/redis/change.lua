-- Makes a change of the table, if its head is still the one that the change was made for.
--
-- KEYS: head, rows, changes
-- ARGV: the head that must be there (empty: none), the new head, the entry for the stream, how many rows are put,
--       key and JSON of each of them, the keys of rows that are removed
--
-- Returns the id of the entry; nil if the head is another one.

-- Redis undoes nothing: what could fail is looked at before anything is written.
local kinds = { 'string', 'hash', 'stream' }
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= kinds[i] and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', expected a ' .. kinds[i])
  end
end

local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then
  return false
end
if now == '' then
  -- Rows without a head are no table.
  redis.call('DEL', KEYS[2])
end

-- Lua cannot hand over more than 8,000 words at once.
local function in_pieces(command, first, last)
  for i = first, last, 1000 do
    redis.call(command, KEYS[2], unpack(ARGV, i, math.min(i + 999, last)))
  end
end

local last_put = 4 + 2 * tonumber(ARGV[4])
in_pieces('HSET', 5, last_put)
in_pieces('HDEL', last_put + 1, #ARGV)
redis.call('SET', KEYS[1], ARGV[2])
return redis.call('XADD', KEYS[3], 'MAXLEN', '~', '1000', '*', 'change', ARGV[3])
