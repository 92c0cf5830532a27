// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* The file that truncate has found; the end of the call (probe.bpf.c) adds the result. */
#include "names.h"

#if TIER == FUNCTION

PATH_FOUND(truncate_found, KIND_TRUNCATE, truncate_path)

#endif
