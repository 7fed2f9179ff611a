/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP_TEST_RESOLVER_H
#define COP_TEST_RESOLVER_H

#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

/*
 * A getaddrinfo of the test's own, in the place of the system's, so that no test needs a network:
 *   one.test    127.0.0.1
 *   six.test    ::1
 *   many.test   127.0.0.2, then 127.0.0.1
 *   slow.test   127.0.0.1, once the test has called resolver_release
 *   others      EAI_NONAME
 */
static sem_t resolver_gate;
__attribute__((constructor)) static void resolver_init(void) { sem_init(&resolver_gate, 0, 0); }

static inline void resolver_release(void) { sem_post(&resolver_gate); }

static struct addrinfo *resolver_v4(uint32_t ip, struct addrinfo *next) {
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in));
    struct sockaddr_in *address = (struct sockaddr_in *)(info + 1);
    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip) };
    info->ai_family = AF_INET;
    info->ai_addrlen = sizeof *address;
    info->ai_addr = (struct sockaddr *)address;
    info->ai_next = next;
    return info;
}

static struct addrinfo *resolver_v6(void) {
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in6));
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)(info + 1);
    *address = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    info->ai_family = AF_INET6;
    info->ai_addrlen = sizeof *address;
    info->ai_addr = (struct sockaddr *)address;
    return info;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out) {
    (void)service;
    *out = NULL;
    if (strcmp(name, "slow.test") == 0)
        sem_wait(&resolver_gate);
    if (strcmp(name, "six.test") == 0 && hints->ai_family == AF_INET6)
        *out = resolver_v6();
    else if (hints->ai_family == AF_INET && strcmp(name, "many.test") == 0)
        *out = resolver_v4(0x7f000002, resolver_v4(INADDR_LOOPBACK, NULL));
    else if (hints->ai_family == AF_INET
             && (strcmp(name, "one.test") == 0 || strcmp(name, "slow.test") == 0))
        *out = resolver_v4(INADDR_LOOPBACK, NULL);
    return *out == NULL ? EAI_NONAME : 0;
}

void freeaddrinfo(struct addrinfo *info) {
    while (info != NULL) {
        struct addrinfo *next = info->ai_next;
        free(info);
        info = next;
    }
}

#endif
