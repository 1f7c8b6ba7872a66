(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
(import "wasi:filesystem/types@0.2.0" "[resource-drop]descriptor" (func $drop (param i32)))
(import "wasi:filesystem/types@0.2.0" "[resource-drop]directory-entry-stream" (func $drop_list (param i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.read" (func $read (param i32 i64 i64 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.write" (func $write (param i32 i32 i32 i64 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.set-size" (func $set_size (param i32 i64 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.unlink-file-at" (func $unlink (param i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.create-directory-at" (func $mkdir (param i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.remove-directory-at" (func $rmdir (param i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.readlink-at" (func $readlink (param i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.stat-at" (func $stat (param i32 i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.symlink-at" (func $symlink (param i32 i32 i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.link-at" (func $link (param i32 i32 i32 i32 i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.rename-at" (func $rename (param i32 i32 i32 i32 i32 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.set-times-at"
  (func $set_times (param i32 i32 i32 i32 i32 i64 i32 i32 i64 i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]descriptor.read-directory" (func $list (param i32 i32)))
(import "wasi:filesystem/types@0.2.0" "[method]directory-entry-stream.read-directory-entry" (func $entry (param i32 i32)))
(import "outrigger:plugin/logging@1.0.0" "log" (func $log (param i32 i32 i32 i32 i32)))
;; ---
(data (i32.const 1024) "a guest was here")
(global $seed (mut i32) (i32.const 1))
(global $succeeded (mut i32) (i32.const 0))
(global $leaks (mut i32) (i32.const 0))
;; The folders: (descriptor) × count, at 4096. The first $fixed are preopened, the others are kept open.
(global $fixed (mut i32) (i32.const 0))
(global $kept (mut i32) (i32.const 0))

(func $random (param $below i32) (result i32)
  (global.set $seed (i32.xor (global.get $seed) (i32.shl (global.get $seed) (i32.const 13))))
  (global.set $seed (i32.xor (global.get $seed) (i32.shr_u (global.get $seed) (i32.const 17))))
  (global.set $seed (i32.xor (global.get $seed) (i32.shl (global.get $seed) (i32.const 5))))
  (i32.rem_u (global.get $seed) (local.get $below)))

;; Counts an operation whose result is at 256.
(func $count
  (if (i32.eqz (i32.load8_u (i32.const 256)))
    (then (global.set $succeeded (i32.add (global.get $succeeded) (i32.const 1))))))

(func $folder (result i32)
  (i32.load (i32.add (i32.const 4096)
    (i32.mul (call $random (i32.add (global.get $fixed) (global.get $kept))) (i32.const 4)))))

;; Reads what an opened file begins with.
(func $look (param $file i32)
  (call $read (local.get $file) (i64.const 4096) (i64.const 0) (i32.const 256))
  (if (i32.eqz (i32.load8_u (i32.const 256))) (then
    (if (i32.ge_u (i32.load (i32.const 264)) (i32.const 6)) (then
      ;; CANA, RY
      (if (i32.and (i32.eq (i32.load (i32.load (i32.const 260))) (i32.const 0x414e4143))
                   (i32.eq (i32.load16_u offset=4 (i32.load (i32.const 260))) (i32.const 0x5952)))
        (then
          (global.set $leaks (i32.add (global.get $leaks) (i32.const 1)))
          (call $log (i32.const 4) (i32.load (i32.const 260)) (i32.load (i32.const 264)) (i32.const 0) (i32.const 0)))))))))

;; Opens a folder and keeps it, in the place of one that was kept.
(func $keep (param $descriptor i32) (local $slot i32)
  (if (i32.lt_u (global.get $kept) (i32.const 8))
    (then
      (local.set $slot (i32.add (global.get $fixed) (global.get $kept)))
      (global.set $kept (i32.add (global.get $kept) (i32.const 1))))
    (else
      (local.set $slot (i32.add (global.get $fixed) (call $random (i32.const 8))))
      (call $drop (i32.load (i32.add (i32.const 4096) (i32.mul (local.get $slot) (i32.const 4)))))))
  (i32.store (i32.add (i32.const 4096) (i32.mul (local.get $slot) (i32.const 4))) (local.get $descriptor)))

(func $step (param $op i32) (param $one i32) (param $one_length i32) (param $two i32) (param $two_length i32)
    (param $target i32) (param $target_length i32)
  (local $dir i32) (local $other i32) (local $file i32) (local $flags i32)
  (local.set $dir (call $folder))
  (local.set $other (call $folder))
  (local.set $flags (call $random (i32.const 2)))
  (block $end (block $x12 (block $x11 (block $x10 (block $x9 (block $x8 (block $x7 (block $x6 (block $x5 (block $x4 (block $x3 (block $x2 (block $x1 (block $x0
    (br_table $x0 $x1 $x2 $x3 $x4 $x5 $x6 $x7 $x8 $x9 $x10 $x11 $x12 $end (local.get $op)))
    ;; 0: a folder
    (call $mkdir (local.get $dir) (local.get $one) (local.get $one_length) (i32.const 256)) (call $count) (br $end))
    ;; 1: a symbolic link
    (call $symlink (local.get $dir) (local.get $target) (local.get $target_length) (local.get $one) (local.get $one_length) (i32.const 256))
    (call $count) (br $end))
    ;; 2: a hard link
    (call $link (local.get $dir) (local.get $flags) (local.get $one) (local.get $one_length) (local.get $other) (local.get $two) (local.get $two_length) (i32.const 256))
    (call $count) (br $end))
    ;; 3: another name
    (call $rename (local.get $dir) (local.get $one) (local.get $one_length) (local.get $other) (local.get $two) (local.get $two_length) (i32.const 256))
    (call $count) (br $end))
    ;; 4: a file is read
    (call $open (local.get $dir) (local.get $flags) (local.get $one) (local.get $one_length) (i32.const 0) (i32.const 1) (i32.const 256))
    (call $count)
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (local.set $file (i32.load (i32.const 260)))
      (call $look (local.get $file))
      (call $drop (local.get $file))))
    (br $end))
    ;; 5: a file is written, made where there is none
    (call $open (local.get $dir) (local.get $flags) (local.get $one) (local.get $one_length)
      (i32.add (i32.const 1) (i32.mul (call $random (i32.const 2)) (i32.const 8))) (i32.const 3) (i32.const 256))
    (call $count)
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (local.set $file (i32.load (i32.const 260)))
      (call $look (local.get $file))
      (call $write (local.get $file) (i32.const 1024) (i32.const 16) (i64.const 0) (i32.const 256))
      (call $set_size (local.get $file) (i64.const 64) (i32.const 256))
      (call $drop (local.get $file))))
    (br $end))
    ;; 6: a folder is opened and kept
    (call $open (local.get $dir) (local.get $flags) (local.get $one) (local.get $one_length) (i32.const 2) (i32.const 33) (i32.const 256))
    (call $count)
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then (call $keep (i32.load (i32.const 260)))))
    (br $end))
    ;; 7: a file is removed
    (call $unlink (local.get $dir) (local.get $one) (local.get $one_length) (i32.const 256)) (call $count) (br $end))
    ;; 8: a folder is removed
    (call $rmdir (local.get $dir) (local.get $one) (local.get $one_length) (i32.const 256)) (call $count) (br $end))
    ;; 9: a link is read, and what it leads to looked at
    (call $readlink (local.get $dir) (local.get $one) (local.get $one_length) (i32.const 256)) (call $count)
    (call $stat (local.get $dir) (i32.const 1) (local.get $one) (local.get $one_length) (i32.const 512)) (br $end))
    ;; 10: times are set, by way of links
    (call $set_times (local.get $dir) (i32.const 1) (local.get $one) (local.get $one_length)
      (i32.const 2) (i64.const 1000) (i32.const 0) (i32.const 2) (i64.const 1000) (i32.const 0) (i32.const 256))
    (call $count) (br $end))
    ;; 11: a folder is listed
    (call $list (local.get $dir) (i32.const 256)) (call $count)
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (local.set $file (i32.load (i32.const 260)))
      (call $entry (local.get $file) (i32.const 512))
      (call $entry (local.get $file) (i32.const 512))
      (call $drop_list (local.get $file))))
    (br $end))
    ;; 12: what has a name gets one that nothing has, and a link takes its place
    (i32.store8 (i32.const 1100) (i32.const 106))
    (i32.store8 offset=1 (i32.const 1100) (i32.add (i32.const 97) (call $random (i32.const 26))))
    (i32.store8 offset=2 (i32.const 1100) (i32.add (i32.const 97) (call $random (i32.const 26))))
    (i32.store8 offset=3 (i32.const 1100) (i32.add (i32.const 97) (call $random (i32.const 26))))
    (call $rename (local.get $dir) (local.get $one) (local.get $one_length) (local.get $dir) (i32.const 1100) (i32.const 4) (i32.const 256))
    (call $symlink (local.get $dir) (local.get $target) (local.get $target_length) (local.get $one) (local.get $one_length) (i32.const 256))
    (call $count))
)

(func (export "storm") (param $names i32) (param $count i32) (param $targets i32) (param $target_count i32)
    (param $seed i32) (param $rounds i32) (result i32)
  (local $mark i32) (local $n i32) (local $one i32) (local $two i32) (local $target i32)
  (global.set $seed (i32.or (local.get $seed) (i32.const 1)))
  (global.set $succeeded (i32.const 0))
  (global.set $leaks (i32.const 0))
  (global.set $kept (i32.const 0))
  (call $directories (i32.const 256))
  (global.set $fixed (i32.load (i32.const 260)))
  (loop $each
    (i32.store (i32.add (i32.const 4096) (i32.mul (local.get $n) (i32.const 4)))
      (i32.load (i32.add (i32.load (i32.const 256)) (i32.mul (local.get $n) (i32.const 12)))))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $each (i32.lt_u (local.get $n) (global.get $fixed))))
  (local.set $mark (global.get $top))
  (loop $again
    (local.set $one (i32.add (local.get $names) (i32.mul (call $random (local.get $count)) (i32.const 8))))
    (local.set $two (i32.add (local.get $names) (i32.mul (call $random (local.get $count)) (i32.const 8))))
    (local.set $target (i32.add (local.get $targets) (i32.mul (call $random (local.get $target_count)) (i32.const 8))))
    (call $step (call $random (i32.const 13))
      (i32.load (local.get $one)) (i32.load offset=4 (local.get $one))
      (i32.load (local.get $two)) (i32.load offset=4 (local.get $two))
      (i32.load (local.get $target)) (i32.load offset=4 (local.get $target)))
    (global.set $top (local.get $mark))
    (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
    (br_if $again (local.get $rounds)))
  ;; What was kept open is closed: an instance may be used again.
  (loop $close
    (if (global.get $kept) (then
      (global.set $kept (i32.sub (global.get $kept) (i32.const 1)))
      (call $drop (i32.load (i32.add (i32.const 4096) (i32.mul (i32.add (global.get $fixed) (global.get $kept)) (i32.const 4)))))
      (br $close))))
  (call $reset)
  (i32.store (i32.const 1536) (global.get $succeeded))
  (i32.store (i32.const 1540) (global.get $leaks))
  (i32.const 1536))
