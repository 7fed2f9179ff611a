/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of numeric addresses: what it takes as IPv4, inet_aton takes too and as the same;
 * what it takes prints, and what was printed reads back strictly as the same.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "io/address.h"

static void expect(bool condition) {
    if (!condition)
        abort();
}

static const void *bytes_of(const struct cop__address *address, size_t *size) {
    if (address->is.ss_family == AF_INET) {
        *size = 4;
        return &((const struct sockaddr_in *)&address->is)->sin_addr;
    }
    expect(address->is.ss_family == AF_INET6);
    *size = 16;
    return &((const struct sockaddr_in6 *)&address->is)->sin6_addr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size); /* of exact size, for the sanitizer */
    struct cop__address address, again;
    size_t length, length_again;
    expect(text != NULL || size == 0);
    memcpy(text, data, size);
    bool any = cop__address_parse(text, size, COP__ADDRESS_ANY, &address);
    bool v4 = cop__address_parse(text, size, COP__ADDRESS_IPV4, &again);
    expect(!v4 || any);
    if (v4 && size < 64) {
        char copy[64] = "";
        struct in_addr aton;
        memcpy(copy, text, size);
        const void *bytes = bytes_of(&address, &length);
        expect(inet_aton(copy, &aton) == 1 && memcmp(&aton, bytes, length) == 0);
    }
    if (any) {
        char printed[INET6_ADDRSTRLEN];
        const void *bytes = bytes_of(&address, &length);
        expect(inet_ntop(address.is.ss_family, bytes, printed, sizeof printed) != NULL);
        expect(cop__address_parse(printed, strlen(printed), COP__ADDRESS_STRICT, &again));
        const void *bytes_again = bytes_of(&again, &length_again);
        expect(length == length_again && memcmp(bytes, bytes_again, length) == 0);
    }
    free(text);
    return 0;
}
