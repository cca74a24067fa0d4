/*
 * Runs a program under the smallest filter that there is, which permits everything: what the kernel takes of each system call
 * as soon as any filter is installed. benches/inside.rs builds it (cc -O2) and compares with it.
 *
 *     filter PROGRAM [ARGUMENT...]
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct sock_filter permit[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog filter = {1, permit};

    if (count < 2)
        return 2;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
        perror("filter");
        return 125;
    }
    execv(words[1], words + 1);
    perror(words[1]);
    return 126;
}
