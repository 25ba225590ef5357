-- Finds out whether the server lets the scripts of this client publish. Called once for each connection.
--
-- KEYS   1 a key in a slot of the server, which is not touched: a service may want a channel to be in the slot of the keys
-- ARGV   1 the inbox of this client
-- Answer a number   it does
--        a text     it does not: its error

local received = redis.pcall('PUBLISH', ARGV[1], '')
if type(received) == 'number' then return received end
return received.err
