-- The wait queue: joining it, and granting a free lock to the first waiter. Included after grant.lua.

-- Publishes a message to the inbox that a token names. Returns how many connections received it: 0 if this client may not
-- publish, or if the token is that of another program and names no inbox.
local function notify(token, message)
  if inboxes == '' or #token ~= 49 or string.sub(token, 17, 17) ~= '.' then return 0 end
  return call('PUBLISH', inboxes .. string.sub(token, 1, 16), message)
end

-- Positions and texts of the entries of the caller's token, as far as they are near an end of the queue (S6). If its owner
-- does not know an entry exactly, because a reply was lost, the entry is most likely new or old, and so near an end.
local function find_my_entries()
  local found = {}
  for _, from in ipairs({ 0, math.max(512, call('LLEN', queue) - 512) }) do
    for index, entry in ipairs(call('LRANGE', queue, from, from + 511)) do
      if string.sub(entry, -#my_token) == my_token then found[#found + 1] = { from + index - 1, entry } end
    end
  end
  return found
end

-- The position of the caller's entry in the queue, or nil. If it is not found the caller gets a new entry. Should the old
-- one exist all the same, a grant to it reaches a caller that does not wait any more, which then cancels it.
local function find_my_position(claim, mode, known)
  local position = call('LPOS', queue, digits(known) .. ':' .. claim .. ':' .. mode .. ':' .. my_token)
  if position then return position end
  local first = find_my_entries()[1]
  return first and first[1]
end

-- For how many milliseconds an entry counts as alive, by its mode. With notifications a dead process is noticed at once, and
-- this time only matters in a cluster or with a client that may not publish.
local lifetimes = { m = 15000, p = 3000 }

-- Puts the caller's token into the queue, or renews its entry. Returns the entry's deadline in milliseconds, whether the
-- entry is the first, and whether it is a new one though the previous one had not reached its deadline.
local function join_queue(claim, mode, known)
  local lifetime = lifetimes[mode]
  local present = math.floor(now / 1000)
  local deadline = present + lifetime
  local entry = digits(deadline) .. ':' .. claim .. ':' .. mode .. ':' .. my_token
  local position = known and find_my_position(claim, mode, known)
  local dropped = not position and known and known > present and known - present <= lifetimes.m
  if not position then
    position = call('RPUSH', queue, entry) - 1
  elseif known - present < lifetime / 2 or known - present > lifetime then
    call('LSET', queue, position, entry)
  else
    deadline = known
  end
  -- Longer than the lifetime of any entry, so that a queue whose processes are all dead disappears.
  call('PEXPIRE', queue, '60000')
  return deadline, position == 0, dropped
end

-- Whether the process of an entry may be alive. A deadline further away than any lifetime was written before the server's
-- clock was set back.
local function may_be_alive(deadline, mode)
  local lifetime = lifetimes[mode]
  return lifetime and deadline * 1000 >= now and deadline * 1000 <= now + 2000 * lifetime
end

-- Grants a free lock to the first live waiter in the queue (S3). Returns its token and the number of the grant, or nothing:
-- then the queue is empty, or its first waiter polls and comes for the lock by itself, or there are more dead entries before
-- it than one call may remove (S6), and removals_left is used up.
--
-- The lease is the claim lease of the entry. `full_ttl` is that of the caller's token, which gets the answer at once.
local function grant_next(first, full_ttl)
  local entries, index, dead = { first }, 1, 0
  -- In a cluster, whose fences have a tag, a message also reaches processes that this node does not count. A process that is
  -- not counted would be taken for dead after it was told of a grant: so each is looked for first.
  local met_dead_process = string.sub(fence, -4) ~= '{}:f'
  while entries[index] do
    local deadline, claim, mode, token = string.match(entries[index], '^(%d+):(%d+):(%a):(.+)$')
    local alive = token and may_be_alive(tonumber(deadline), mode)
    local polls = alive and token ~= my_token and (mode == 'p' or inboxes == '')
    -- Where one process is dead others may be. From then on each is looked for before it is granted the lock, which costs
    -- less than a grant to a dead one.
    if met_dead_process and alive and not polls and token ~= my_token then alive = notify(token, 'there') > 0 end
    if alive then
      if dead > 0 then call('LPOP', queue, dead) end
      if polls then return end
      -- Granted before it is published (S4).
      local number = grant(token, token == my_token and full_ttl or claim)
      call('LPOP', queue)
      local message = { 'granted', digits(number), digits(now), call('LLEN', queue), token, lock }
      if token == my_token or notify(token, table.concat(message, ':')) > 0 then return token, number end
      -- No connection received it: that process is dead. Its entry is removed already.
      call('DEL', lock)
      dead, met_dead_process = 0, true
    else
      dead = dead + 1
    end
    index, removals_left = index + 1, removals_left - 1
    if not entries[index] then
      if dead > 0 then call('LPOP', queue, dead) end
      if removals_left <= 0 then return end
      entries, index, dead = call('LRANGE', queue, '0', '63'), 1, 0
    end
  end
end
