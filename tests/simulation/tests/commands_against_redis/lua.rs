//! What Lua makes of replies and of values, and how errors of scripts are told.

use super::both::Both;

/// How Lua's values become the words of a command, and the reply of a script.
#[test]
fn values_of_lua() {
    let mut both = Both::start();
    for value in [
        "0",
        "1",
        "-1",
        "3.99",
        "-3.99",
        "0.1",
        "1e15",
        "123456789012345",
        "9007199254740993",
        "1e16",
        "1e17",
        "-1e17",
        "123456789012345678",
        "1e18",
        "1e19",
        "-1e19",
        "1e300",
        "1/0",
        "-1/0",
        "0/0",
        "2^53",
        "2^63",
        "-2^63",
        "1e-5",
        "1e-10",
        "1/3",
        "100/3",
        "''",
        "'text'",
        "'a\\0b\\255'",
        "true",
        "false",
        "nil",
        "{}",
        "{1,2,3}",
        "{1,nil,3}",
        "{1,false,3}",
        "{1,{2,{3}}}",
        "{'a',1.5,true}",
        "{ok='fine'}",
        "{err='ERR bad'}",
        "{err='BAD'}",
        "{1,{err='ERR bad'},{ok='fine'}}",
        "{err=1}",
        "{ok=1}",
        "{err='ERR in\\ntwo lines'}",
        "{ok='in\\r\\ntwo'}",
        "{x=1}",
        "function() end",
    ] {
        both.eval(&format!("return {value}"), &[], &[]);
        for word in [format!("redis.call('SET', 'key', {value})"), format!("redis.pcall('SET', 'key', {value})")] {
            both.start_anew();
            both.eval(&format!("return {word}"), &[], &[]);
            both.eval("return redis.call('GET', 'key')", &[], &[]);
        }
    }
}

/// What commands answer, as Lua sees it.
#[test]
fn replies_in_lua() {
    let mut both = Both::start();
    both.put_one_of_each();
    for text in [
        "return redis.call('GET', 'none') == false",
        "return redis.call('LPOP', 'none', 3) == false",
        "return redis.call('LINDEX', 'list', 99) == false",
        "return redis.call('LPOS', 'list', 'z') == false",
        "return type(redis.call('LLEN', 'list'))",
        "return #redis.call('LRANGE', 'none', 0, -1)",
        "return redis.call('SET', 'new', 1).ok",
        "return redis.call('SET', 'new', 1, 'NX')",
        "return redis.call('SET', 'new', 2, 'GET')",
        "return redis.pcall('GET', 'list').err",
        "return {pcall(redis.call, 'GET', 'list')}",
        "return {pcall(error, 'plain')}",
        "return {pcall(error, {err = 'BAD table'})}",
        "return {pcall(error, {other = 1})}",
        "return {pcall(error)}",
        "return {pcall(function() error('with a place') end)}",
        "return {pcall(function() return nil + 1 end)}",
        "return {pcall(function() return 1, 2, nil, 4 end)}",
        "return {select('#', pcall(function() return 1, nil end))}",
        "return type(redis.call('TIME')[1]) .. #redis.call('TIME')",
        "return redis.call('get', 'text')",
        "return {KEYS[1], #KEYS, ARGV[1], #ARGV}",
        "return redis.call()",
        "return redis.pcall()",
        "return redis.pcall({})",
        "return redis.call('GET', nil)",
        "return redis.call('GET', {})",
        "return redis.call('GET', true)",
        "return redis.pcall('GET', true).err",
    ] {
        both.eval(text, &[], &[]);
        both.eval(text, &[b"key"], &[b"one", b"two"]);
    }
    both.assert_same_keys(&[]);
}

/// Errors that a script does not catch, with their place in it.
#[test]
fn errors_of_scripts() {
    let mut both = Both::start();
    both.put_one_of_each();
    for text in [
        "\n\nredis.call('GET', 'list')",
        "local function f()\n return redis.call('GET', 'list')\nend\nlocal x = f()\nreturn x",
        "local call = redis.call\nreturn call('GET', 'list')",
        "error('plain')",
        "\nerror('without a place', 0)",
        "error({err = 'BAD table'})",
        "error({err = 'BAD'})",
        "error(12)",
        "return nil + 1",
        "return {} < 1",
        "return nothing",
        "something = 1",
        "local t = nil\nreturn t.x",
        "return string.format('%d', 'x')",
        "return string.rep()",
        "local done, problem = pcall(redis.call, 'GET', 'list')\nerror(problem)",
        "local problem = redis.pcall('GET', 'list')\nerror(problem)",
        "for _, x in ipairs({1}) do\n pcall(redis.call, 'GET', 'list')\n redis.call('LLEN', 'text')\nend",
        "redis.call('SET', 'before', 1)\nredis.call('GET', 'list')\nredis.call('SET', 'after', 1)",
    ] {
        both.eval(text, &[], &[]);
        both.assert_same_keys(&[text.to_owned()]);
    }
}
