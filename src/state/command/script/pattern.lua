-- What calls back and forth of Lua's patterns, on a search that spends steps. Given `match(text, pattern, from)`, which
-- answers the first and last place and the captures; and `expand(replacement, whole, captures…)`.
local string, seek, expand = string, ...
local error, type, tostring, sub = error, type, tostring, string.sub

function string.gmatch(text, pattern)
  local at = 1
  local function step(first, last, ...)
    if not first then
      at = nil
      return nil
    end
    at = last >= first and last + 1 or first + 1
    return ...
  end
  return function()
    if not at or at > #text + 1 then return nil end
    return step(seek(text, pattern, at, false))
  end
end

function string.gsub(text, pattern, replacement, most)
  text = tostring(text)
  local kind = type(replacement)
  if kind == 'number' then replacement, kind = tostring(replacement), 'string' end
  if kind ~= 'string' and kind ~= 'table' and kind ~= 'function' then
    error("bad argument #3 to 'gsub' (string/function/table expected)", 2)
  end
  local out, count, at, is_anchored = {}, 0, 1, sub(pattern, 1, 1) == '^'
  local function replaced(first, last, ...)
    if not first then return nil end
    local whole, new = sub(text, first, last)
    if kind == 'string' then
      new = expand(replacement, whole, ...)
    elseif kind == 'table' then
      new = replacement[(...)]
    else
      new = replacement(...)
    end
    if not new then
      new = whole
    elseif type(new) ~= 'string' and type(new) ~= 'number' then
      error('invalid replacement value (a ' .. type(new) .. ')', 3)
    end
    out[#out + 1] = sub(text, at, first - 1) .. new
    count = count + 1
    if last >= first then
      at = last + 1
    else
      out[#out + 1] = sub(text, first, first)
      at = first + 1
    end
    return true
  end
  while at <= #text + 1 and (not most or count < most) do
    if not replaced(seek(text, pattern, at, true)) or is_anchored then break end
  end
  out[#out + 1] = sub(text, at)
  return table.concat(out), count
end
