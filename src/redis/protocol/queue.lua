-- The wait queue: joining it, and granting a lock to the first waiters. Included after holders.lua.

-- Publishes a message to the inbox that a token names. Returns how many connections received it: 0 if this client may not
-- publish, or if the token is that of another program and names no inbox. If the server refuses it, though it allowed it when
-- this client connected, the rest of the call does as a client that may not publish.
local function notify(token, message)
  if inboxes == '' or #token ~= 49 or string.sub(token, 17, 17) ~= '.' then return 0 end
  local received = redis.pcall('PUBLISH', inboxes .. string.sub(token, 1, 16), message)
  if type(received) == 'number' then return received end
  inboxes = ''
  return 0
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

-- Grants the lock to the first live waiters in the queue (S3): to the first of them if it has room for that one, and on in
-- their order as long as it has room for the next. Ends at one that polls and comes for the lock by itself; after 64 grants;
-- or if there are more dead entries than one call may remove (S6), and removals_left is used up.
--
-- The lease is the claim lease of each entry. `full_ttl` is that of the caller's token, which gets the answer at once.
-- `had_room`: the lock has room for the caller, and only the queue is before it. Returns the numbers of the caller's grant and
-- of its permit, if it was granted the lock.
local function serve_queue(first, full_ttl, had_room)
  local number, permit
  local grants_left, is_over = 64, held == 'x'
  -- In a cluster, whose fences have a tag, a message also reaches processes that this node does not count. A process that is
  -- not counted would be taken for dead after it was told of a grant: so each is looked for first.
  local met_dead_process = string.sub(fence, -4) ~= '{}:f'
  -- Mostly only the first is looked at.
  local entries = is_over and {} or { first or nil }
  if entries[1] and mode_of(string.sub(entries[1], -49)) ~= 'x' then entries = call('LRANGE', queue, '0', '63') end
  while entries[1] do
    local granted, removed, mine = {}, 0, nil
    for _, entry in ipairs(entries) do
      local deadline, claim, kind, token = string.match(entry, '^(%d+):(%d+):(%a):(.+)$')
      local alive = token and may_be_alive(tonumber(deadline), kind)
      -- A token has two entries if its acquire was sent again and ran twice. Its lease and its permit stay as they are.
      if alive and lease_end(token) then alive = false end
      local is_mine = token == my_token
      local polls = alive and not is_mine and (kind == 'p' or inboxes == '')
      local mode, permits = mode_of(token or '')
      local room = alive and has_room(mode, permits)
      -- Where one process is dead others may be. From then on each is looked for before it is granted the lock, which costs
      -- less than a grant to a dead one. So is one that keeps the caller from a lock that has room for the caller.
      if alive and not polls and not is_mine and (met_dead_process or not room and had_room) then
        alive = notify(token, 'there') > 0
        if inboxes == '' then alive, polls = true, true end
      end
      if alive then
        is_over = polls or not room or grants_left == 0
        if is_over then break end
        -- Granted before it is published (S4).
        local of_grant, of_permit = grant_beside(token, mode, is_mine and full_ttl or claim)
        if is_mine then
          number, permit, mine = of_grant, of_permit, entry
        else
          granted[#granted + 1] = { token, of_grant, of_permit, removed }
        end
        grants_left = grants_left - 1
      end
      removed, removals_left = removed + 1, removals_left - 1
      if alive and mode == 'x' then
        is_over = true
        break
      end
    end
    local waiting, stays = #granted > 0 and call('LLEN', queue) - removed
    for _, to in ipairs(granted) do
      local of_grant = digits(to[2]) .. (to[3] and '/' .. to[3] or '')
      local message = { 'granted', of_grant, digits(now), waiting, to[1], lock }
      if notify(to[1], table.concat(message, ':')) == 0 then
        remove(to[1])
        if inboxes == '' then
          -- The server refused to publish. That process comes by itself, and its entry stays in its place.
          removed, stays = math.min(removed, to[4]), true
        else
          -- No connection received it: that process is dead.
          met_dead_process = true
        end
        is_over = stays
      end
    end
    if removed > 0 then call('LPOP', queue, removed) end
    if stays and mine then call('LREM', queue, '1', mine) end
    if is_over or removals_left <= 0 then break end
    entries = call('LRANGE', queue, '0', '63')
  end
  return number, permit
end
