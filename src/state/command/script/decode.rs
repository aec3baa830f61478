//! Decode: what `cjson.decode` makes of a text, as the library that Redis has reads it: with control characters in
//! strings, and with every number that C reads. It goes down into what nests by a stack of its own.

use mlua::{Lua, LuaString, Table, Value};

/// How deep what is decoded may nest.
const DEPTH_MAX: usize = 1_000;

/// What stands in a text.
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// Nothing that may stand there.
    Wrong(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String(_) => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Wrong(what) => what,
        }
    }
}

/// What is being filled.
enum Open {
    Array(Table, usize),
    Object(Table, LuaString),
}

/// Why there is no value.
pub(super) enum Failed {
    /// What is wrong with the text.
    Text(String),
    Machine(mlua::Error),
}

impl From<mlua::Error> for Failed {
    fn from(error: mlua::Error) -> Self {
        Self::Machine(error)
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// Where the last token stands.
    begun: usize,
}

/// The value of a text.
pub(super) fn decode(lua: &Lua, text: &[u8]) -> Result<Value, Failed> {
    if let [first, second, ..] = text
        && (*first == 0 || *second == 0)
    {
        return Err(Failed::Text("JSON parser does not support UTF-16 or UTF-32".into()));
    }
    let mut reader = Reader { text, at: 0, begun: 0 };
    let mut open: Vec<Open> = Vec::new();
    let mut token = reader.next();
    loop {
        let mut value = match token {
            Token::String(text) => Value::String(lua.create_string(text)?),
            Token::Number(n) => Value::Number(n),
            Token::Boolean(is_so) => Value::Boolean(is_so),
            Token::Null => Value::NULL,
            Token::ArrayBegin | Token::ObjectBegin if open.len() == DEPTH_MAX => return Err(reader.too_deep()),
            Token::ArrayBegin => match reader.next() {
                Token::ArrayEnd => Value::Table(lua.create_table()?),
                first => {
                    open.push(Open::Array(lua.create_table()?, 0));
                    token = first;
                    continue;
                }
            },
            Token::ObjectBegin => match reader.next() {
                Token::ObjectEnd => Value::Table(lua.create_table()?),
                first => {
                    let name = reader.name(lua, first)?;
                    open.push(Open::Object(lua.create_table()?, name));
                    token = reader.next();
                    continue;
                }
            },
            other => return Err(reader.expected("value", &other)),
        };
        // what is whole is put where it belongs, which may make that whole
        token = loop {
            value = match open.pop() {
                None => match reader.next() {
                    Token::End => return Ok(value),
                    other => return Err(reader.expected("the end", &other)),
                },
                Some(Open::Array(table, count)) => {
                    table.raw_set(count + 1, value)?;
                    match reader.next() {
                        Token::ArrayEnd => Value::Table(table),
                        Token::Comma => {
                            open.push(Open::Array(table, count + 1));
                            break reader.next();
                        }
                        other => return Err(reader.expected("comma or array end", &other)),
                    }
                }
                Some(Open::Object(table, name)) => {
                    table.raw_set(name, value)?;
                    match reader.next() {
                        Token::ObjectEnd => Value::Table(table),
                        Token::Comma => {
                            let first = reader.next();
                            let name = reader.name(lua, first)?;
                            open.push(Open::Object(table, name));
                            break reader.next();
                        }
                        other => return Err(reader.expected("comma or object end", &other)),
                    }
                }
            };
        };
    }
}

impl Reader<'_> {
    fn expected(&self, what: &str, found: &Token) -> Failed {
        Failed::Text(format!("Expected {what} but found {} at character {}", found.name(), self.begun + 1))
    }

    fn too_deep(&self) -> Failed {
        let depth = DEPTH_MAX + 1;
        Failed::Text(format!("Found too many nested data structures ({depth}) at character {}", self.at))
    }

    /// The name of a member, and the colon behind it.
    fn name(&mut self, lua: &Lua, token: Token) -> Result<LuaString, Failed> {
        let Token::String(name) = token else { return Err(self.expected("object key string", &token)) };
        match self.next() {
            Token::Colon => Ok(lua.create_string(name)?),
            other => Err(self.expected("colon", &other)),
        }
    }

    /// The byte so far ahead; 0, which ends a text, behind its end.
    fn ahead(&self, by: usize) -> u8 {
        self.text.get(self.at + by).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        while matches!(self.ahead(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.begun = self.at;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (length, token) = match self.ahead(0) {
            0 => (0, Token::End),
            b'{' => (1, Token::ObjectBegin),
            b'}' => (1, Token::ObjectEnd),
            b'[' => (1, Token::ArrayBegin),
            b']' => (1, Token::ArrayEnd),
            b':' => (1, Token::Colon),
            b',' => (1, Token::Comma),
            b'"' => return self.string(),
            _ if rest.starts_with(b"true") => (4, Token::Boolean(true)),
            _ if rest.starts_with(b"false") => (5, Token::Boolean(false)),
            _ if rest.starts_with(b"null") => (4, Token::Null),
            b'-' | b'+' | b'0'..=b'9' | b'i' | b'I' | b'n' | b'N' => number_or_nothing(rest),
            _ => (0, Token::Wrong("invalid token")),
        };
        self.at += length;
        token
    }

    fn string(&mut self) -> Token {
        let mut text = Vec::new();
        self.at += 1;
        let wrong = loop {
            let byte = match (self.ahead(0), self.ahead(1)) {
                (0, _) => break "unexpected end of string",
                (b'"', _) => {
                    self.at += 1;
                    return Token::String(text);
                }
                (b'\\', b'u') => match self.escaped() {
                    Some((sign, length)) => {
                        text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
                        self.at += length;
                        continue;
                    }
                    None => break "invalid unicode escape code",
                },
                (b'\\', escape) => {
                    let byte = match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 8,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0c,
                        b'r' => b'\r',
                        _ => break "invalid escape code",
                    };
                    self.at += 1;
                    byte
                }
                (byte, _) => byte,
            };
            text.push(byte);
            self.at += 1;
        };
        self.begun = self.at;
        Token::Wrong(wrong)
    }

    /// The sign that `\uXXXX` stands for, or two of these, and how many bytes they are.
    fn escaped(&self) -> Option<(char, usize)> {
        let unit = |from: usize| {
            let digits = self.text.get(self.at + from..self.at + from + 4)?;
            let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
            digits.into_iter().try_fold(0, |all, digit| Some(all << 4 | digit?))
        };
        let first: u32 = unit(2)?;
        if let Some(sign) = char::from_u32(first) {
            return Some((sign, 6));
        }
        let second = unit(8).filter(|_| self.ahead(6) == b'\\' && self.ahead(7) == b'u')?;
        let is_pair = first & 0xfc00 == 0xd800 && second & 0xfc00 == 0xdc00;
        let sign = char::from_u32(((first & 0x3ff) << 10 | second & 0x3ff) + 0x1_0000);
        sign.filter(|_| is_pair).map(|sign| (sign, 12))
    }
}

/// The number that a text begins with, and how long it is.
fn number_or_nothing(text: &[u8]) -> (usize, Token) {
    match number(text) {
        Some((n, length)) => (length, Token::Number(n)),
        None if text[0] == b'-' || text[0] == b'+' => (0, Token::Wrong("invalid number")),
        None => (0, Token::Wrong("invalid token")),
    }
}

/// As C's `strtod` reads it.
fn number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let signed = |n: f64| if text[0] == b'-' { -n } else { n };
    let rest = &text[sign..];
    let begins = |word: &[u8]| rest.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if begins(b"inf") {
        return Some((signed(f64::INFINITY), sign + if begins(b"infinity") { 8 } else { 3 }));
    }
    if begins(b"nan") {
        return Some((f64::NAN, sign + 3));
    }
    let count = |from: usize, is: fn(&u8) -> bool| rest[from.min(rest.len())..].iter().take_while(|b| is(b)).count();
    let hex = if begins(b"0x") { count(2, u8::is_ascii_hexdigit) } else { 0 };
    if hex > 0 {
        let digits = rest[2..2 + hex].iter().filter_map(|digit| char::from(*digit).to_digit(16));
        return Some((signed(digits.fold(0.0, |all, digit| all * 16.0 + f64::from(digit))), sign + 2 + hex));
    }
    let whole = count(0, u8::is_ascii_digit);
    let fraction = if rest.get(whole) == Some(&b'.') { count(whole + 1, u8::is_ascii_digit) + 1 } else { 0 };
    let mut length = whole + fraction;
    if whole == 0 && fraction < 2 {
        return None;
    }
    if matches!(rest.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(length + 1), Some(b'-' | b'+')));
        let digits = count(length + 1 + sign, u8::is_ascii_digit);
        length += if digits > 0 { 1 + sign + digits } else { 0 };
    }
    let n: f64 = std::str::from_utf8(&rest[..length]).ok()?.parse().ok()?;
    Some((signed(n), sign + length))
}
