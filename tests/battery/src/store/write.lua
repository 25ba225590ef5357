-- KEYS[1]: the resource's hash. ARGV: the writer's fence; "1" if a stale one is refused; the value.
-- Answers {1, value}, or {0, the highest fence}.

-- Fences are longer than the 53 bits that a number has here, so they stay decimal texts.
local function below(a, b)
    if #a ~= #b then return #a < #b end
    return a < b
end

local fence, refuses = ARGV[1], ARGV[2] == '1'
local highest = redis.call('HGET', KEYS[1], 'fence') or '0'
if below(highest, fence) then
    redis.call('HSET', KEYS[1], 'fence', fence)
elseif refuses and below(fence, highest) then
    return {0, highest}
end
redis.call('HSET', KEYS[1], 'value', ARGV[3])
return {1, ARGV[3]}
