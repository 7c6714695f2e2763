;; What Go's runtime asks of WASI (preview 1), without a system: the module that becomes part of every plugin in Go. Nothing
;; here leaves the component but lines of text, which go to the host's log. `plugin build` uses system.wasm, which is this
;; file as bytes; a test says how to make it anew.
;;
;; - The clock is not the world's: it begins at one second, each look at it adds a microsecond, and who sleeps adds the time
;;   slept, at once. A plugin decides alike whenever it is asked.
;; - Random numbers are the same in each instance.
;; - There is no file, no argument, no environment. Standard input is empty.
;; - Standard output and error become lines of the log, at the levels info and warn.
;;
;; State is in globals, since the memory is Go's: it takes all memory behind its own for its heap, also what somebody else
;; has grown. What is printed is collected in the buffer that the plugin gives (`pointsman_text`):
;;   u32 held: not 0 while the host may not be called    u32 used    u32 level of the text in it    bytes
(module
  (import "env" "memory" (memory 0))
  (import "pointsman:partitioner/log@1.0.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))

  (global $now (mut i64) (i64.const 1000000000))
  (global $random (mut i64) (i64.const 0))
  ;; Where the buffer's bytes are, and how many; 0: there is none, and what is printed is lost.
  (global $text (mut i32) (i32.const 0))
  (global $room (mut i32) (i32.const 0))

  (func (export "pointsman_text") (param $buffer i32) (param $size i32)
    (global.set $text (i32.add (local.get $buffer) (i32.const 12)))
    (global.set $room (i32.sub (local.get $size) (i32.const 12))))

  ;; How many bytes the UTF-8 character at $at has; 0 when there is none.
  (func $character (param $at i32) (param $end i32) (result i32)
    (local $first i32) (local $second i32) (local $length i32) (local $next i32)
    (local.set $first (i32.load8_u (local.get $at)))
    (if (i32.lt_u (local.get $first) (i32.const 0x80)) (then (return (i32.const 1))))
    (if (i32.lt_u (local.get $first) (i32.const 0xc2)) (then (return (i32.const 0))))
    (if (i32.gt_u (local.get $first) (i32.const 0xf4)) (then (return (i32.const 0))))
    (local.set $length
      (i32.add (i32.const 2)
        (i32.add
          (i32.ge_u (local.get $first) (i32.const 0xe0))
          (i32.ge_u (local.get $first) (i32.const 0xf0)))))
    (if (i32.gt_u (i32.add (local.get $at) (local.get $length)) (local.get $end)) (then (return (i32.const 0))))
    ;; Too long a form, surrogates, and what is above U+10FFFF show in the second byte.
    (local.set $second (i32.load8_u offset=1 (local.get $at)))
    (if (i32.and (i32.eq (local.get $first) (i32.const 0xe0)) (i32.lt_u (local.get $second) (i32.const 0xa0)))
      (then (return (i32.const 0))))
    (if (i32.and (i32.eq (local.get $first) (i32.const 0xed)) (i32.ge_u (local.get $second) (i32.const 0xa0)))
      (then (return (i32.const 0))))
    (if (i32.and (i32.eq (local.get $first) (i32.const 0xf0)) (i32.lt_u (local.get $second) (i32.const 0x90)))
      (then (return (i32.const 0))))
    (if (i32.and (i32.eq (local.get $first) (i32.const 0xf4)) (i32.ge_u (local.get $second) (i32.const 0x90)))
      (then (return (i32.const 0))))
    (local.set $next (i32.const 1))
    (loop $bytes
      (if (i32.ne
            (i32.and (i32.load8_u (i32.add (local.get $at) (local.get $next))) (i32.const 0xc0))
            (i32.const 0x80))
        (then (return (i32.const 0))))
      (local.set $next (i32.add (local.get $next) (i32.const 1)))
      (br_if $bytes (i32.lt_u (local.get $next) (local.get $length))))
    (local.get $length))

  ;; Gives what is in the buffer to the host as one line. The host takes UTF-8 and nothing else: other bytes become `?`.
  (func $tell
    (local $header i32) (local $at i32) (local $end i32) (local $length i32)
    (if (i32.eqz (global.get $room)) (then (return)))
    (local.set $header (i32.sub (global.get $text) (i32.const 12)))
    (if (i32.load (local.get $header)) (then (return)))
    (if (i32.eqz (i32.load offset=4 (local.get $header))) (then (return)))
    (local.set $at (global.get $text))
    (local.set $end (i32.add (global.get $text) (i32.load offset=4 (local.get $header))))
    (loop $characters
      (local.set $length (call $character (local.get $at) (local.get $end)))
      (if (i32.eqz (local.get $length))
        (then
          (i32.store8 (local.get $at) (i32.const 0x3f))
          (local.set $length (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (local.get $length)))
      (br_if $characters (i32.lt_u (local.get $at) (local.get $end))))
    (call $log
      (i32.load offset=8 (local.get $header))
      (global.get $text)
      (i32.load offset=4 (local.get $header)))
    (i32.store offset=4 (local.get $header) (i32.const 0)))

  ;; A byte that was printed. What does not fit while the host may not be called is lost.
  (func $print (param $level i32) (param $byte i32)
    (local $header i32) (local $used i32)
    (if (i32.eqz (global.get $room)) (then (return)))
    (local.set $header (i32.sub (global.get $text) (i32.const 12)))
    (if (i32.ne (local.get $level) (i32.load offset=8 (local.get $header)))
      (then
        (call $tell)
        (i32.store offset=8 (local.get $header) (local.get $level))))
    (if (i32.eq (local.get $byte) (i32.const 10))
      (then
        (call $tell)
        (return)))
    (if (i32.ge_u (i32.load offset=4 (local.get $header)) (global.get $room)) (then (call $tell)))
    (local.set $used (i32.load offset=4 (local.get $header)))
    (if (i32.ge_u (local.get $used) (global.get $room)) (then (return)))
    (i32.store8 (i32.add (global.get $text) (local.get $used)) (local.get $byte))
    (i32.store offset=4 (local.get $header) (i32.add (local.get $used) (i32.const 1))))

  (func (export "fd_write") (param $fd i32) (param $pieces i32) (param $count i32) (param $written i32) (result i32)
    (local $level i32) (local $at i32) (local $end i32) (local $total i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1))
      (then (return (i32.const 8))))
    ;; 1, standard output: info; 2, standard error: warn.
    (local.set $level (local.get $fd))
    (loop $next
      (if (local.get $count)
        (then
          (local.set $at (i32.load (local.get $pieces)))
          (local.set $end (i32.add (local.get $at) (i32.load offset=4 (local.get $pieces))))
          (local.set $total (i32.add (local.get $total) (i32.load offset=4 (local.get $pieces))))
          (loop $bytes
            (if (i32.lt_u (local.get $at) (local.get $end))
              (then
                (call $print (local.get $level) (i32.load8_u (local.get $at)))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br $bytes))))
          (local.set $pieces (i32.add (local.get $pieces) (i32.const 8)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (i32.store (local.get $written) (local.get $total))
    (i32.const 0))

  ;; Go comes here after a panic that nobody has recovered, when its trace is printed.
  (func (export "proc_exit") (param $code i32)
    (call $tell)
    unreachable)

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store align=1 (local.get $time) (global.get $now))
    (i32.const 0))

  ;; Go has nothing to do before a time has come. It asks with one subscription, that of the time.
  (func (export "poll_oneoff") (param $asked i32) (param $told i32) (param $count i32) (param $events i32) (result i32)
    (if (i32.load8_u offset=8 (local.get $asked)) (then (return (i32.const 52))))
    (global.set $now (i64.add (global.get $now) (i64.load offset=24 align=1 (local.get $asked))))
    (i64.store align=1 (local.get $told) (i64.load align=1 (local.get $asked)))
    (i32.store offset=8 align=1 (local.get $told) (i32.const 0))
    (i32.store (local.get $events) (i32.const 1))
    (i32.const 0))

  ;; SplitMix64, a byte of each number.
  (func (export "random_get") (param $at i32) (param $length i32) (result i32)
    (local $end i32) (local $z i64)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (loop $bytes
      (if (i32.lt_u (local.get $at) (local.get $end))
        (then
          (global.set $random (i64.add (global.get $random) (i64.const 0x9e3779b97f4a7c15)))
          (local.set $z (global.get $random))
          (local.set $z
            (i64.mul
              (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 30)))
              (i64.const 0xbf58476d1ce4e5b9)))
          (local.set $z
            (i64.mul
              (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 27)))
              (i64.const 0x94d049bb133111eb)))
          (i64.store8 (local.get $at) (i64.shr_u (local.get $z) (i64.const 56)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $bytes))))
    (i32.const 0))

  (func (export "sched_yield") (result i32)
    (i32.const 0))

  (func $nothing (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $nothing))
  (export "environ_sizes_get" (func $nothing))

  (func $none (param $pointers i32) (param $texts i32) (result i32)
    (i32.const 0))
  (export "args_get" (func $none))
  (export "environ_get" (func $none))

  ;; 8 is "bad file descriptor", which ends Go's search for folders too.
  (func (export "fd_prestat_get") (param $fd i32) (param $folder i32) (result i32)
    (i32.const 8))
  (func (export "fd_prestat_dir_name") (param $fd i32) (param $name i32) (param $length i32) (result i32)
    (i32.const 8))

  ;; The three standard ones are character devices (2) without flags or rights.
  (func (export "fd_fdstat_get") (param $fd i32) (param $stat i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    (i64.store align=1 (local.get $stat) (i64.const 2))
    (i64.store offset=8 align=1 (local.get $stat) (i64.const 0))
    (i64.store offset=16 align=1 (local.get $stat) (i64.const 0))
    (i32.const 0))
  (func (export "fd_fdstat_set_flags") (param $fd i32) (param $flags i32) (result i32)
    (i32.const 0))
  (func (export "fd_close") (param $fd i32) (result i32)
    (i32.const 0))

  ;; Standard input is empty.
  (func (export "fd_read") (param $fd i32) (param $pieces i32) (param $count i32) (param $read i32) (result i32)
    (if (local.get $fd) (then (return (i32.const 8))))
    (i32.store (local.get $read) (i32.const 0))
    (i32.const 0)))
