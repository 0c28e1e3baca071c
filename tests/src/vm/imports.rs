//! The hostcalls, as Envoy answers them.

use anyhow::Result;
use wasmi::{Caller, Error, Extern, Linker, Memory};

use super::host::{BAD_ARGUMENT, Host, NOT_FOUND, OK, serialise};

type Of<'a> = Caller<'a, Host>;
type Status = Result<i32, Error>;

fn memory(of: &Of<'_>) -> Result<Memory, Error> {
    of.get_export("memory").and_then(Extern::into_memory).ok_or_else(|| Error::new("no memory"))
}

#[expect(clippy::cast_sign_loss, reason = "addresses are unsigned in the ABI and signed in the interpreter")]
const fn address(at: i32) -> usize {
    at as u32 as usize
}

fn read(of: &Of<'_>, at: i32, len: i32) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; address(len)];
    memory(of)?.read(of, address(at), &mut bytes)?;
    Ok(bytes)
}

fn write(of: &mut Of<'_>, at: i32, bytes: &[u8]) -> Result<(), Error> {
    memory(of)?.write(of, address(at), bytes)?;
    Ok(())
}

fn put(of: &mut Of<'_>, at: i32, number: u32) -> Result<(), Error> {
    write(of, at, &number.to_le_bytes())
}

fn called(of: &mut Of<'_>, name: &'static str) {
    let host = of.data_mut();
    host.profile.called(host.callback, name);
}

/// Gives bytes to the module: in memory that it allocates for them.
fn give(of: &mut Of<'_>, name: &'static str, bytes: &[u8], (at, len): (i32, i32)) -> Status {
    let host = of.data_mut();
    host.profile.gave(host.callback, name, bytes.len());
    let size = u32::try_from(bytes.len()).map_err(|_| Error::new("too large"))?;
    let mut to = 0;
    if size > 0 {
        let allocate = of.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
        let allocate = allocate.ok_or_else(|| Error::new("no allocator"))?.typed::<u32, u32>(&*of)?;
        to = allocate.call(&mut *of, size)?;
        memory(of)?.write(&mut *of, to as usize, bytes)?;
    }
    put(of, at, to)?;
    put(of, len, size)?;
    Ok(OK)
}

fn give_if_there(of: &mut Of<'_>, name: &'static str, bytes: Option<Vec<u8>>, to: (i32, i32)) -> Status {
    match bytes {
        Some(bytes) => give(of, name, &bytes, to),
        None => Ok(NOT_FOUND),
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    maps_and_buffers(linker)?;
    state(linker)?;
    rest(linker)?;
    wasi(linker)
}

fn maps_and_buffers(linker: &mut Linker<Host>) -> Result<()> {
    const PAIRS: &str = "proxy_get_header_map_pairs";
    linker.func_wrap("env", PAIRS, |mut of: Of<'_>, map: i32, data: i32, len: i32| -> Status {
        called(&mut of, PAIRS);
        let pairs = of.data().headers.get(&map).map(serialise);
        give_if_there(&mut of, PAIRS, pairs, (data, len))
    })?;
    const VALUE: &str = "proxy_get_header_map_value";
    linker.func_wrap("env", VALUE, |mut of: Of<'_>, map: i32, key: i32, size: i32, data: i32, len: i32| -> Status {
        called(&mut of, VALUE);
        let key = read(&of, key, size)?;
        let headers = of.data().headers.get(&map);
        let value = headers.and_then(|headers| headers.iter().find(|(name, _)| *name == key));
        let value = value.map(|(_, value)| value.clone());
        give_if_there(&mut of, VALUE, value, (data, len))
    })?;
    const REPLACE: &str = "proxy_replace_header_map_value";
    linker.func_wrap(
        "env",
        REPLACE,
        |mut of: Of<'_>, map: i32, key: i32, size: i32, value: i32, len: i32| -> Status {
            called(&mut of, REPLACE);
            let (key, value) = (read(&of, key, size)?, read(&of, value, len)?);
            let Some(headers) = of.data_mut().headers.get_mut(&map) else { return Ok(BAD_ARGUMENT) };
            headers.retain(|(name, _)| *name != key);
            headers.push((key, value));
            Ok(OK)
        },
    )?;
    const REMOVE: &str = "proxy_remove_header_map_value";
    linker.func_wrap("env", REMOVE, |mut of: Of<'_>, map: i32, key: i32, size: i32| -> Status {
        called(&mut of, REMOVE);
        let key = read(&of, key, size)?;
        let Some(headers) = of.data_mut().headers.get_mut(&map) else { return Ok(BAD_ARGUMENT) };
        headers.retain(|(name, _)| *name != key);
        Ok(OK)
    })?;
    const BUFFER: &str = "proxy_get_buffer_bytes";
    linker.func_wrap(
        "env",
        BUFFER,
        |mut of: Of<'_>, kind: i32, from: i32, max: i32, data: i32, len: i32| -> Status {
            called(&mut of, BUFFER);
            let (from, max) = (address(from), address(max));
            let whole = of.data().buffers.get(&kind);
            let part = whole.and_then(|whole| Some(whole.get(from..)?.iter().take(max).copied().collect()));
            give_if_there(&mut of, BUFFER, part, (data, len))
        },
    )?;
    const SET: &str = "proxy_set_buffer_bytes";
    linker.func_wrap("env", SET, |mut of: Of<'_>, kind: i32, from: i32, size: i32, data: i32, len: i32| -> Status {
        called(&mut of, SET);
        let bytes = read(&of, data, len)?;
        let Some(buffer) = of.data_mut().buffers.get_mut(&kind) else { return Ok(BAD_ARGUMENT) };
        if from != 0 || address(size) < buffer.len() {
            return Ok(BAD_ARGUMENT);
        }
        *buffer = bytes;
        Ok(OK)
    })?;
    Ok(())
}

fn state(linker: &mut Linker<Host>) -> Result<()> {
    const PROPERTY: &str = "proxy_get_property";
    linker.func_wrap("env", PROPERTY, |mut of: Of<'_>, path: i32, size: i32, data: i32, len: i32| -> Status {
        called(&mut of, PROPERTY);
        let path = read(&of, path, size)?;
        let value = of.data().property(&path);
        give_if_there(&mut of, PROPERTY, value, (data, len))
    })?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut of: Of<'_>, path: i32, size: i32, value: i32, len: i32| -> Status {
            called(&mut of, "proxy_set_property");
            let (path, value) = (read(&of, path, size)?, read(&of, value, len)?);
            of.data_mut().states.insert(path, value);
            Ok(OK)
        },
    )?;
    const SHARED: &str = "proxy_get_shared_data";
    linker.func_wrap(
        "env",
        SHARED,
        |mut of: Of<'_>, key: i32, size: i32, data: i32, len: i32, cas: i32| -> Status {
            called(&mut of, SHARED);
            let key = read(&of, key, size)?;
            let (value, version) = of.data().get_shared(&key).unzip();
            if let Some(version) = version {
                put(&mut of, cas, version)?;
            }
            give_if_there(&mut of, SHARED, value, (data, len))
        },
    )?;
    const SET: &str = "proxy_set_shared_data";
    linker.func_wrap("env", SET, |mut of: Of<'_>, key: i32, size: i32, value: i32, len: i32, cas: u32| -> Status {
        called(&mut of, SET);
        let (key, value) = (read(&of, key, size)?, read(&of, value, len)?);
        Ok(of.data_mut().set_shared(key, value, cas))
    })?;
    const DEFINE: &str = "proxy_define_metric";
    linker.func_wrap("env", DEFINE, |mut of: Of<'_>, _kind: i32, name: i32, len: i32, id: i32| -> Status {
        called(&mut of, DEFINE);
        let name = read(&of, name, len)?;
        let defined = of.data_mut().define(&name);
        put(&mut of, id, u32::try_from(defined).unwrap_or(u32::MAX))?;
        Ok(OK)
    })?;
    linker.func_wrap("env", "proxy_increment_metric", |mut of: Of<'_>, id: i32, by: i64| -> i32 {
        called(&mut of, "proxy_increment_metric");
        of.data_mut().increment(id, by)
    })?;
    linker.func_wrap("env", "proxy_record_metric", |mut of: Of<'_>, _id: i32, _value: i64| -> i32 {
        called(&mut of, "proxy_record_metric");
        OK
    })?;
    Ok(())
}

fn rest(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap("env", "proxy_log", |mut of: Of<'_>, level: i32, text: i32, len: i32| -> Status {
        called(&mut of, "proxy_log");
        let text = read(&of, text, len)?;
        of.data_mut().log.push(format!("{level} {}", String::from_utf8_lossy(&text)));
        Ok(OK)
    })?;
    const CLOCK: &str = "proxy_get_current_time_nanoseconds";
    linker.func_wrap("env", CLOCK, |mut of: Of<'_>, at: i32| -> Status {
        called(&mut of, CLOCK);
        // Time passes, so that nothing takes none.
        of.data_mut().now += 20_000;
        let now = of.data().now.to_le_bytes();
        write(&mut of, at, &now)?;
        Ok(OK)
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut of: Of<'_>, _millis: i32| -> i32 {
        called(&mut of, "proxy_set_tick_period_milliseconds");
        OK
    })?;
    linker.func_wrap("env", "proxy_continue_stream", |mut of: Of<'_>, _direction: i32| -> i32 {
        called(&mut of, "proxy_continue_stream");
        OK
    })?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut of: Of<'_>, _context: i32| -> i32 {
        called(&mut of, "proxy_set_effective_context");
        OK
    })?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |_: Of<'_>, status: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32| -> Status {
            Err(Error::new(format!("a local reply of {status}: no exchange that is measured is refused")))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut of: Of<'_>,
         _: i32,
         _: i32,
         _: i32,
         _: i32,
         body: i32,
         len: i32,
         _: i32,
         _: i32,
         _: i32,
         token: i32|
         -> Status {
            called(&mut of, "proxy_http_call");
            let body = read(&of, body, len)?;
            let number = of.data_mut().call(body);
            put(&mut of, token, number)?;
            Ok(OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut of: Of<'_>, _: i32, _: i32, _: i32, _: i32, data: i32, len: i32| -> Status {
            called(&mut of, "proxy_call_foreign_function");
            put(&mut of, data, 0)?;
            put(&mut of, len, 0)?;
            Ok(OK)
        },
    )?;
    Ok(())
}

fn wasi(linker: &mut Linker<Host>) -> Result<()> {
    const WASI: &str = "wasi_snapshot_preview1";
    linker.func_wrap(WASI, "random_get", |mut of: Of<'_>, at: i32, len: i32| -> Status {
        let bytes: Vec<u8> = (0..address(len)).map(|_| of.data_mut().random()).collect();
        write(&mut of, at, &bytes)?;
        Ok(0)
    })?;
    linker.func_wrap(WASI, "environ_get", |_: Of<'_>, _: i32, _: i32| -> i32 { 0 })?;
    linker.func_wrap(WASI, "environ_sizes_get", |mut of: Of<'_>, count: i32, size: i32| -> Status {
        put(&mut of, count, 0)?;
        put(&mut of, size, 0)?;
        Ok(0)
    })?;
    linker.func_wrap(WASI, "fd_write", |_: Of<'_>, _: i32, _: i32, _: i32, _: i32| -> Status {
        Err(Error::new("the filter writes to a file"))
    })?;
    linker.func_wrap(WASI, "proc_exit", |_: Of<'_>, code: i32| -> Result<(), Error> {
        Err(Error::new(format!("the filter exits with {code}")))
    })?;
    Ok(())
}
