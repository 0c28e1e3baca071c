//! What the interpreter charges for: the entry of a function, of a branch, and each turn of a loop.
//!
//! It charges a block for all of its operators at once, also for those behind a conditional jump that is taken. In a loop around a large
//! `match` that is hundreds for each turn, whatever the turn does. So operators are free here; what is left is counted exactly.

use wasmi::OperatorCost;

/// Costs under which plain operators are free: each block costs 1, and so do 64 bytes that are copied or filled at once.
pub(super) fn costs() -> OperatorCost {
    let mut costs = OperatorCost::default();
    macro_rules! free {
        ($($name:ident)*) => { $(costs.$name = 0;)* };
    }
    free!(end br br_if br_table if_ call call_indirect select typed_select local_get local_set local_tee global_get global_set);
    free!(i32_load i32_load8_s i32_load8_u i32_load16_s i32_load16_u i32_store i32_store8 i32_store16 i32_const);
    free!(i64_load i64_load8_s i64_load8_u i64_load16_s i64_load16_u i64_load32_s i64_load32_u);
    free!(i64_store i64_store8 i64_store16 i64_store32 i64_const memory_copy memory_fill);
    free!(i32_eqz i32_eq i32_ne i32_lt_s i32_lt_u i32_gt_s i32_gt_u i32_le_s i32_le_u i32_ge_s i32_ge_u);
    free!(i64_eqz i64_eq i64_ne i64_lt_s i64_lt_u i64_gt_s i64_gt_u i64_le_s i64_le_u i64_ge_s i64_ge_u);
    free!(i32_clz i32_ctz i32_popcnt i32_add i32_sub i32_mul i32_div_s i32_div_u i32_rem_s i32_rem_u i32_and i32_or);
    free!(i64_clz i64_ctz i64_popcnt i64_add i64_sub i64_mul i64_div_s i64_div_u i64_rem_s i64_rem_u i64_and i64_or);
    free!(i32_xor i32_shl i32_shr_s i32_shr_u i32_rotl i32_rotr i64_xor i64_shl i64_shr_s i64_shr_u i64_rotl i64_rotr);
    free!(i32_wrap_i64 i64_extend_i32_s i64_extend_i32_u i32_extend8_s i32_extend16_s i64_extend8_s i64_extend16_s);
    free!(v128_load v128_load8_splat v128_load32_zero v128_load64_zero v128_load8_lane v128_load64_lane v128_store);
    free!(v128_store64_lane v128_const v128_and v128_and_not v128_or v128_xor v128_not v128_bitselect v128_any_true);
    free!(i8x16_shuffle i8x16_swizzle i8x16_splat i8x16_eq i8x16_add i8x16_bitmask i8x16_replace_lane i8x16_extract_lane_u);
    free!(i16x8_splat i16x8_add i16x8_shr_u i16x8_ext_add_pairwise_i8x16_u i32x4_ext_add_pairwise_i16x8_u);
    free!(i32x4_splat i32x4_add i32x4_extract_lane i32x4_replace_lane);
    free!(i64x2_splat i64x2_add i64x2_extract_lane i64x2_replace_lane);
    costs
}
