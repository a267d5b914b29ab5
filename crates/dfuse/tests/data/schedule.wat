;; schedule.wasm: a contract whose one action, setprods, proposes the producers that it is given (producer_key[]).
;; It must be privileged.
(module
  (import "env" "action_data_size" (func $action_data_size (result i32)))
  (import "env" "read_action_data" (func $read_action_data (param i32 i32) (result i32)))
  (import "env" "set_proposed_producers" (func $set_proposed_producers (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "apply") (param $receiver i64) (param $code i64) (param $action i64)
    (if (i64.eq (local.get $action) (i64.const -4417085855374508032)) ;; setprods
      (then
        (drop (call $read_action_data (i32.const 0) (call $action_data_size)))
        (drop (call $set_proposed_producers (i32.const 0) (call $action_data_size)))))))
