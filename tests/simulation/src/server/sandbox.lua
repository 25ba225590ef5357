-- What a script finds besides the libraries of Lua, as Redis 7.0 sets it up. Run once in an interpreter, with the
-- functions for `redis.call` and `redis.pcall`, one that tells the text of an error of the former, and one that completes
-- an error that a script does not catch. Returns the function that runs a script.

local call, pcall_of_redis, text_of, complete = ...
local error, pcall_of_lua, tostring, type, xpcall = error, pcall, tostring, type, xpcall

redis = { call = call, pcall = pcall_of_redis }

-- An error of a command is caught as its text, which is what it was before Redis 7.
local function caught(done, ...)
  if done then return true, ... end
  local problem = ...
  if type(problem) == 'userdata' then return false, text_of(problem) end
  if type(problem) == 'table' and type(problem.err) == 'string' then return false, problem.err end
  return false, problem
end

function pcall(...)
  return caught(pcall_of_lua(...))
end

-- Redis has none of these; or has them, and what they do depends on more than the script, or is not modelled.
for _, name in ipairs({ 'collectgarbage', 'dofile', 'gcinfo', 'loadfile', 'newproxy', 'print', 'xpcall' }) do
  _G[name] = nil
end
math.random, math.randomseed = nil, nil

setmetatable(_G, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
  __newindex = function()
    error('Attempt to modify a readonly table', 2)
  end,
})

return function(script)
  return xpcall(script, complete)
end
