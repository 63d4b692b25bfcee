"""Which system calls a confined process may not make: a seccomp filter for Linux, by ctypes.

What is left is what decoding needs: reading what is open, opening for reading, memory, threads and
writing to what is open. A call that is refused fails with EPERM, an unknown one with ENOSYS.
"""

import ctypes
import errno
import platform
import struct
import sys

_TABLE = """
accept 43 202; accept4 288 242; acct 163 89; add_key 248 217; adjtimex 159 171; bind 49 200;
bpf 321 280; capset 126 91; chmod 90 -; chown 92 -; chroot 161 51; clock_adjtime 305 266;
clock_settime 227 112; connect 42 203; creat 85 -; delete_module 176 106; execve 59 221;
execveat 322 281; fallocate 285 47; fanotify_init 300 262; fchdir 81 50; fchmod 91 52;
fchmodat 268 53; fchown 93 55; fchownat 260 54; finit_module 313 273; fork 57 -;
fremovexattr 199 16; fsconfig 431 431; fsetxattr 190 7; fsmount 432 432; fsopen 430 430;
fspick 433 433; ftruncate 77 46; futimesat 261 -; init_module 175 105; io_uring_enter 426 426;
io_uring_register 427 427; io_uring_setup 425 425; ioprio_set 251 30; kcmp 312 272;
kexec_file_load 320 294; kexec_load 246 104; keyctl 250 219; kill 62 129; lchown 94 -;
link 86 -; linkat 265 37; listen 50 201; lremovexattr 198 15; lsetxattr 189 6;
memfd_create 319 279; memfd_secret 447 447; migrate_pages 256 238; mkdir 83 -; mkdirat 258 34;
mknod 133 -; mknodat 259 33; mount 165 40; mount_setattr 442 442; move_mount 429 429;
move_pages 279 239; mq_open 240 180; mq_unlink 241 181; msgget 68 186;
name_to_handle_at 303 264; open_by_handle_at 304 265; open_tree 428 428;
perf_event_open 298 241; personality 135 92; pidfd_getfd 438 438; pidfd_open 434 434;
pidfd_send_signal 424 424; pivot_root 155 41; prlimit64 302 261; process_madvise 440 440;
process_mrelease 448 448; process_vm_readv 310 270; process_vm_writev 311 271; ptrace 101 117;
quotactl 179 60; quotactl_fd 443 443; reboot 169 142; recvfrom 45 207; recvmmsg 299 243;
recvmsg 47 212; removexattr 197 14; rename 82 -; renameat 264 38; renameat2 316 276;
request_key 249 218; rmdir 84 -; rt_sigqueueinfo 129 138; rt_tgsigqueueinfo 297 240;
sched_setaffinity 203 122; sched_setattr 314 274; sched_setparam 142 118;
sched_setscheduler 144 119; semget 64 190; sendmmsg 307 269; sendmsg 46 211;
setdomainname 171 162; setfsgid 123 152; setfsuid 122 151; setgid 106 144; setgroups 116 159;
sethostname 170 161; setns 308 268; setpgid 109 154; setpriority 141 140; setregid 114 143;
setresgid 119 149; setresuid 117 147; setreuid 113 145; setrlimit 160 164; setsid 112 157;
settimeofday 164 170; setuid 105 146; setxattr 188 5; shmget 29 194; socket 41 198;
socketpair 53 199; splice 275 76; swapoff 168 225; swapon 167 224; symlink 88 -;
symlinkat 266 36; sync_file_range 277 84; syslog 103 116; tee 276 77; tkill 200 130;
truncate 76 45; umount2 166 39; unlink 87 -; unlinkat 263 35; unshare 272 97; uselib 134 -;
userfaultfd 323 282; ustat 136 -; utime 132 -; utimensat 280 88; utimes 235 -; vfork 58 -;
vhangup 153 58; vmsplice 278 75; ioctl 16 29
"""
"""Refused whatever its arguments are: name, number on x86_64, number on aarch64 (- where it has
none)."""
_NEWEST = 451
"""Calls with higher numbers are younger than the tables here; programs do without them."""
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
# open, openat, clone, clone3, openat2, tgkill, fcntl
_SPECIAL = {
    "x86_64": (2, 257, 56, 435, 437, 234, 72),
    "aarch64": (None, 56, 220, 435, 437, 131, 25),
}
_CLONE_THREAD = 0x10000
_O_CREAT, _O_TRUNC, _O_TMPFILE = 0o100, 0o1000, 0o20000000
_WRITING = 0o3 | _O_CREAT | _O_TRUNC | _O_TMPFILE
_SIGNALS_OTHERS = (8, 10, 15)  # fcntl's F_SETOWN, F_SETSIG, F_SETOWN_EX

# Classic BPF: load a word, jump if equal, greater or a bit is set, return.
_LOAD, _EQUAL, _GREATER, _BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_PR_SET_NO_NEW_PRIVS, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _FILTER = 38, 21, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_system_calls(pid: int) -> bool:
    """Refuse them from now on, for ever, in this process `pid` and its threads.

    Returns False, and does nothing, where that cannot be had: on another system or processor, or a
    kernel without seccomp.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return False
    code = b"".join(_program(machine, pid))
    filtered = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(filtered), 0, 0) == 0


def _program(machine: str, pid: int) -> list[bytes]:
    """The filter's instructions."""
    column, architecture = _ARCHITECTURES[machine]
    refused = _return(_ERROR | errno.EPERM)
    unknown = _return(_ERROR | errno.ENOSYS)
    code = [_load(_ARCHITECTURE_AT), _jump(_EQUAL, architecture, 1, 0), _return(_KILL)]
    code += [_load(_NUMBER_AT), _jump(_GREATER, _NEWEST, 0, 1), unknown]  # x32's calls are above
    for number in _numbers(column):
        code += [_jump(_EQUAL, number, 0, 1), refused]
    opening, opening_at, clone, clone3, openat2, tgkill, fcntl = _SPECIAL[machine]
    for number in (clone3, openat2):  # what they ask for is out of a filter's sight
        code += [_jump(_EQUAL, number, 0, 1), unknown]
    for number, argument in ((opening, 1), (opening_at, 2)):
        if number is not None:
            code += _when(number, argument, [_jump(_BITS, _WRITING, 0, 1), refused])
    code += _when(clone, 0, [_jump(_BITS, _CLONE_THREAD, 1, 0), refused])
    code += _when(tgkill, 0, [_jump(_EQUAL, pid, 1, 0), refused])
    others = [i for c in _SIGNALS_OTHERS for i in (_jump(_EQUAL, c, 0, 1), refused)]
    code += _when(fcntl, 1, others)
    return [*code, _return(_ALLOW)]


def _numbers(column: int) -> list[int]:
    entries = [entry.split() for entry in _TABLE.split(";")]
    return [int(entry[1 + column]) for entry in entries if entry[1 + column] != "-"]


def _when(number: int, argument: int, judge: list[bytes]) -> list[bytes]:
    """`judge` the low word of an argument of one system call, then go on with its number."""
    inside = [_load(16 + 8 * argument), *judge, _load(_NUMBER_AT)]
    return [_jump(_EQUAL, number, 0, len(inside)), *inside]


def _load(offset: int) -> bytes:
    return struct.pack("HBBI", _LOAD, 0, 0, offset)


def _jump(kind: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("HBBI", kind, if_true, if_false, value)


def _return(value: int) -> bytes:
    return struct.pack("HBBI", _RETURN, 0, 0, value)
