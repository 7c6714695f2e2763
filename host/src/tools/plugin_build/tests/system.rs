//! Tests of the stand-in for the system that plugins in Go get.

use crate::tools::plugin_build::go::STAND_IN;

/// The stand-in by itself, with memory as Go would have it, and the lines that it logged.
struct System {
    store: wasmtime::Store<Vec<(i32, String)>>,
    instance: wasmtime::Instance,
    memory: wasmtime::Memory,
}

/// Where the buffer for text is in memory, and where memory is free.
const BUFFER: usize = 64;
const FREE: usize = 1024;

impl System {
    /// With a buffer for this many bytes of text.
    fn new(room: i32) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, STAND_IN)?;
        let mut store = wasmtime::Store::new(&engine, Vec::new());
        let memory = wasmtime::Memory::new(&mut store, wasmtime::MemoryType::new(1, None))?;
        let mut linker = wasmtime::Linker::new(&engine);
        linker.define(&store, "env", "memory", memory)?;
        linker.func_wrap(
            "pointsman:partitioner/log@1.0.0",
            "log",
            move |mut caller: wasmtime::Caller<'_, Vec<(i32, String)>>, level: i32, at: i32, length: i32| {
                let text = &memory.data(&caller)[at as usize..][..length as usize];
                // As in the host, text that is not UTF-8 is a trap.
                let text = String::from_utf8(text.to_vec())?;
                caller.data_mut().push((level, text));
                wasmtime::Result::Ok(())
            },
        )?;
        let instance = linker.instantiate(&mut store, &module)?;
        let mut system = Self {
            store,
            instance,
            memory,
        };
        if room > 0 {
            system
                .instance
                .get_typed_func::<(i32, i32), ()>(&mut system.store, "pointsman_text")?
                .call(&mut system.store, (BUFFER as i32, room + 12))?;
        }
        Ok(system)
    }

    fn print(&mut self, fd: i32, text: &[u8]) -> wasmtime::Result<i32> {
        self.write(
            FREE,
            &[(FREE + 16) as u32, text.len() as u32].map(u32::to_le_bytes).concat(),
        )?;
        self.write(FREE + 16, text)?;
        let pieces = FREE as i32;
        let said = self.call::<(i32, i32, i32, i32)>("fd_write", (fd, pieces, 1, pieces + 8))?;
        if said == 0 {
            assert_eq!(self.read::<4>(FREE + 8)?, (text.len() as u32).to_le_bytes());
        }
        Ok(said)
    }

    fn call<Parameters: wasmtime::WasmParams>(&mut self, name: &str, parameters: Parameters) -> wasmtime::Result<i32> {
        let function = self.instance.get_typed_func::<Parameters, i32>(&mut self.store, name)?;
        function.call(&mut self.store, parameters)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> wasmtime::Result<()> {
        Ok(self.memory.write(&mut self.store, at, bytes)?)
    }

    fn read<const N: usize>(&self, at: usize) -> wasmtime::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read(&self.store, at, &mut bytes)?;
        Ok(bytes)
    }

    fn now(&mut self) -> wasmtime::Result<u64> {
        assert_eq!(self.call("clock_time_get", (1, 1_i64, FREE as i32))?, 0);
        Ok(u64::from_le_bytes(self.read(FREE)?))
    }

    fn logged(&mut self) -> Vec<(i32, String)> {
        std::mem::take(self.store.data_mut())
    }
}

fn lines(expected: &[(i32, &str)]) -> Vec<(i32, String)> {
    expected
        .iter()
        .map(|(level, text)| (*level, (*text).to_owned()))
        .collect()
}

#[test]
fn what_a_plugin_in_go_prints_is_logged_line_by_line() -> wasmtime::Result<()> {
    let mut system = System::new(16)?;
    system.print(1, b"half ")?;
    assert_eq!(system.logged(), []);
    system.print(1, b"a line\n\nand ")?;
    system.print(2, b"panic: no\n")?;
    system.print(2, b"longer than the buffer\n")?;
    assert_eq!(
        system.logged(),
        lines(&[
            (1, "half a line"),
            (1, "and "),
            (2, "panic: no"),
            (2, "longer than the "),
            (2, "buffer")
        ])
    );
    assert_eq!(system.print(3, b"a file?\n")?, 8);
    assert_eq!(system.print(0, b"a file?\n")?, 8);
    // A stand-in whose glue gives no buffer prints nothing.
    let mut without = System::new(0)?;
    assert_eq!(without.print(2, b"lost\n")?, 0);
    assert_eq!((system.logged(), without.logged()), (vec![], vec![]));
    Ok(())
}

#[test]
fn printing_what_is_no_text_does_not_trap() -> wasmtime::Result<()> {
    let mut system = System::new(512)?;
    for text in [
        "zoë ☀ 𝕏 \u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
        b"\xff\xc0\x80\xc1\xbf\x80",
        b"\xe0\x9f\xbf \xed\xa0\x80 \xf0\x8f\xbf\xbf \xf4\x90\x80\x80 \xf5\x80\x80\x80",
        b"cut \xe2\x98",
        b"\xe2\x28\xa1 \xf0\x9f\x98",
    ] {
        system.print(1, text)?;
        system.print(1, b"\n")?;
        let logged = system.logged();
        assert_eq!(logged.len(), 1);
        let expected: Vec<u8> = match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            // Each byte that is not part of a character becomes one question mark.
            Err(_) => text.iter().map(|&byte| if byte < 0x80 { byte } else { b'?' }).collect(),
        };
        assert_eq!(logged[0].1.as_bytes(), expected);
    }
    // Every pair of bytes, in the midst of text and at its end.
    for pair in 0..=u16::MAX {
        let [first, second] = pair.to_be_bytes();
        system.print(1, &[b'a', first, second, b'\n', b'a', first, second])?;
        system.print(2, b"\n")?;
        system.logged();
    }
    Ok(())
}

#[test]
fn text_waits_while_the_host_may_not_be_called() -> wasmtime::Result<()> {
    let mut system = System::new(8)?;
    system.write(BUFFER, &1_u32.to_le_bytes())?;
    system.print(2, b"one\ntwo and more\n")?;
    assert_eq!(system.logged(), []);
    system.write(BUFFER, &0_u32.to_le_bytes())?;
    system.print(2, b"\n")?;
    assert_eq!(system.logged(), lines(&[(2, "onetwo a")]));
    Ok(())
}

#[test]
fn an_exit_is_a_trap_after_the_last_words() -> wasmtime::Result<()> {
    let mut system = System::new(64)?;
    system.print(2, b"last words")?;
    let exit = system
        .instance
        .get_typed_func::<i32, ()>(&mut system.store, "proc_exit")?;
    assert!(exit.call(&mut system.store, 0).is_err());
    assert_eq!(system.logged(), lines(&[(2, "last words")]));
    Ok(())
}

#[test]
fn time_goes_on_by_being_looked_at_and_by_sleeping() -> wasmtime::Result<()> {
    let mut system = System::new(0)?;
    let begun = system.now()?;
    assert_eq!(system.now()? - begun, 1_000);
    // A subscription of the clock, with its own number, for three seconds.
    let mut subscription = [0; 48];
    subscription[..8].copy_from_slice(&7_u64.to_le_bytes());
    subscription[24..32].copy_from_slice(&3_000_000_000_u64.to_le_bytes());
    system.write(FREE, &subscription)?;
    let at = FREE as i32;
    assert_eq!(system.call("poll_oneoff", (at, at + 64, 1, at + 128))?, 0);
    assert_eq!(system.read::<4>(FREE + 128)?, [1, 0, 0, 0]);
    assert_eq!(system.read::<12>(FREE + 64)?, [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(system.now()? - begun, 3_000_002_000);
    Ok(())
}

#[test]
fn random_numbers_are_the_same_in_each_instance_and_no_two_alike() -> wasmtime::Result<()> {
    let take = |system: &mut System| -> wasmtime::Result<[u8; 32]> {
        assert_eq!(system.call("random_get", (FREE as i32, 32))?, 0);
        system.read(FREE)
    };
    let (mut one, mut other) = (System::new(0)?, System::new(0)?);
    let first = take(&mut one)?;
    assert_eq!(first, take(&mut other)?);
    assert_ne!(first, take(&mut one)?);
    assert_ne!(first, [0; 32]);
    Ok(())
}

#[test]
fn there_is_no_file_no_argument_and_no_environment() -> wasmtime::Result<()> {
    let mut system = System::new(0)?;
    let at = FREE as i32;
    for empty in ["args_sizes_get", "environ_sizes_get"] {
        system.write(FREE, &[9; 8])?;
        assert_eq!(system.call(empty, (at, at + 4))?, 0);
        assert_eq!(system.read::<8>(FREE)?, [0; 8]);
    }
    assert_eq!(system.call("fd_prestat_get", (3, at))?, 8);
    assert_eq!(
        (
            system.call("fd_fdstat_get", (1, at))?,
            system.call("fd_fdstat_get", (3, at))?
        ),
        (0, 8)
    );
    // Standard input is at its end.
    system.write(FREE, &[9; 4])?;
    assert_eq!(system.call("fd_read", (0, at, 1, at))?, 0);
    assert_eq!(system.read::<4>(FREE)?, [0; 4]);
    assert_eq!(system.call("fd_read", (3, at, 1, at))?, 8);
    Ok(())
}
