typedef unsigned char u8;
typedef short s16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#ifndef TYPES_ONLY
#include <stdio.h>

static u64 state = 0x9e3779b97f4a7c15ull;

static u64 random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned __int128 random128(void)
{
	unsigned __int128 high = random64();
	return high << 64 | random64();
}

static void fill(void *to, unsigned long size)
{
	for (u8 *byte = to; size; size--)
		*byte++ = random64() >> 24;
}

static void hex(const volatile void *from, unsigned long size)
{
	for (const volatile u8 *byte = from; size; size--)
		printf("%02x", *byte++);
}

/* Prints all 128 bits, sign-extended. */
static void number(__int128 value)
{
	printf(" %016llx%016llx", (u64)((unsigned __int128)value >> 64), (u64)value);
}
#endif

