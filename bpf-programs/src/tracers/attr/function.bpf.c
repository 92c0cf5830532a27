// SPDX-License-Identifier: (MIT OR GPL-2.0)
/* The files that chmod, chown and utimes have found; the ends of the calls (probe.bpf.c) add the result. */
#include "names.h"

#if TIER == FUNCTION

PATH_FOUND(chmod_found, KIND_ATTR, chmod_path)
PATH_FOUND(chown_found, KIND_ATTR, chown_path)
PATH_FOUND(utimes_found, KIND_ATTR, utimes_path)

#endif
