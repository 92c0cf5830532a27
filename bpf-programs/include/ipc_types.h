/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The kernel's objects of System V IPC, with only the fields that are read. */
#ifndef DUETECTOR_IPC_TYPES_H
#define DUETECTOR_IPC_TYPES_H

#include "kernel_types.h"

struct ipc_ids {
	struct idr ipcs_idr;
} CO_RE;

struct ipc_namespace {
	struct ipc_ids ids[3];
	struct ns_common ns;
} CO_RE;

struct kern_ipc_perm {
	int id;
	int key;
} CO_RE;

struct shmid_kernel {
	struct kern_ipc_perm shm_perm; /* first in the kernel, too */
	struct file *shm_file;
	unsigned long shm_segsz;
} CO_RE;

#endif
