-- What scripts see. Given functions of Rust, the keys and the arguments; answers the globals, and how a script is run.
local rust, keys, args = ...
local error, pcall, xpcall, type, tostring, setmetatable = error, pcall, xpcall, type, tostring, setmetatable
local sub = string.sub

-- no script catches that its time is over; what Rust raised is shown as a text
local alive, is_over, shown, place = rust.alive, rust.is_over, rust.shown, rust.place
local function passed(went_well, failure, ...)
  alive()
  if not went_well and type(failure) == 'userdata' then failure = shown(failure) end
  return went_well, failure, ...
end

-- a code in front of what is wrong is kept
local function coded(text)
  if type(text) ~= 'string' then return {err = 'ERR wrong number or type of arguments'} end
  if sub(text, 1, 1) == '-' then text = sub(text, 2) end
  return {err = rust.has_code(text) and text or 'ERR ' .. text}
end

local redis = {
  call = rust.call,
  pcall = rust.pcall,
  error_reply = coded,
  status_reply = function(text)
    if type(text) ~= 'string' then return {err = 'ERR wrong number or type of arguments'} end
    return {ok = text}
  end,
  sha1hex = rust.sha1hex,
  log = function() end,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  setresp = rust.setresp,
  replicate_commands = function() return true end,
  set_repl = function() end,
  REPL_ALL = 3, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_NONE = 0,
  breakpoint = function() return false end,
  debug = function() end,
  REDIS_VERSION = '7.0.15', REDIS_VERSION_NUM = 0x0007000f,
}

-- as long as nothing takes far longer than an instruction
local string, rep = string, string.rep
string.dump, string.gfind, string.find, string.match, string.gmatch, string.gsub = nil
string.rep = function(text, times)
  if text == '' then return '' end
  return rep(text, times)
end
math.random, math.randomseed = rust.random, rust.randomseed

local globals = {
  KEYS = keys, ARGV = args, redis = redis, server = redis, string = string, table = table, math = math,
  assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = next, pairs = pairs,
  rawequal = rawequal, rawget = rawget, rawset = rawset, select = select, setmetatable = setmetatable,
  tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, _VERSION = _VERSION,
  collectgarbage = function() return 0 end,
  pcall = function(...) return passed(pcall(...)) end,
  xpcall = function(run, explain)
    -- what is stopped is in the midst of a look, and there is no other one before that has ended
    return passed(xpcall(run, function(failure)
      if is_over() then return failure end
      return explain(type(failure) == 'userdata' and {err = shown(failure)} or failure)
    end))
  end,
}
local env = setmetatable({}, {
  __index = setmetatable(globals, {
    __index = function(_, name)
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end,
  }),
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
  __metatable = false,
})
globals._G = env

local function explained(failure)
  if type(failure) == 'userdata' then
    failure = {err = rust.answered(failure)}
  elseif type(failure) ~= 'table' then
    failure = {err = 'ERR ' .. tostring(failure)}
  end
  failure.line = place()
  return failure
end

return env, globals, function(script) return xpcall(script, explained) end
