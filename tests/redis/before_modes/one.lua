-- The frame of a script for one lock. Most calls are for one; this frame spares them the function that `several.lua` makes.

local lock, queue, fence, my_token = KEYS[1], KEYS[2], KEYS[3], ARGV[2]
local first_arg = 3

--#script
