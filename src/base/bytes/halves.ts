/** 2^32: the weight of the upper 32 bits of a 64-bit integer. */
export const TWO_32 = 0x1_0000_0000;
