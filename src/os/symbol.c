/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and lines of places in the code, by elfutils' libdwfl.
 *
 * libdwfl needs a deep stack and is slow the first time, so a thread of its own does the work: a
 * caller puts its question into the one place there is (others wait for their turn), and sleeps
 * until it is answered. Answers are kept in a small direct-mapped cache, which most questions of a
 * program that crashes again and again at the same place are answered from.
 *
 * Invariants
 *   1. `question` belongs to whoever set `busy` under the mutex; a question that was asked is
 *      answered, also by a thread that is told to stop.
 *   2. While `stopping` is set nobody sets `busy`; who set `stopping` clears it.
 * A library that is loaded later is found when an address is in no module known so far.
 * Threads: any; never from a signal handler.
 */
#include "os/symbol.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CACHE = 256, STACK = 1 << 20 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stopping, busy, asked, answered, stop;
    uintptr_t question;
    struct cop__symbol answer;
    struct {
        uintptr_t pc;
        struct cop__symbol symbol;
    } * cache;
} service = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void copy_text(char *to, size_t size, const char *from) {
    size_t n = strlen(from);
    if (n >= size)
        n = size - 1;
    memcpy(to, from, n);
    to[n] = '\0';
}

/* Optimisers name their copies of a function with a suffix: name.lto_priv.0, name.constprop.1. */
static void cut_suffix(char *name) {
    char *dot = strchr(name, '.');
    if (dot != NULL && dot != name)
        *dot = '\0';
}

#ifdef COP__NO_LIBDW
/* Where elfutils is not there: what the dynamic symbol tables know. */
typedef void Dwfl;
static Dwfl *modules_open(void) { return NULL; }
static void dwfl_end(Dwfl *dwfl) { (void)dwfl; }

static void look_up(Dwfl *dwfl, uintptr_t pc, struct cop__symbol *out) {
    (void)dwfl;
    memset(out, 0, sizeof *out);
    Dl_info info;
    if (dladdr((void *)pc, &info) != 0 && info.dli_sname != NULL)
        copy_text(out->function, sizeof out->function, info.dli_sname);
}

#else
#include <dwarf.h>
#include <elfutils/libdwfl.h>

static Dwfl *modules_open(void) {
    static char *no_path;
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .debuginfo_path = &no_path,
    };
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (dwfl == NULL)
        return NULL;
    if (dwfl_linux_proc_report(dwfl, getpid()) != 0 || dwfl_report_end(dwfl, NULL, NULL) != 0) {
        dwfl_end(dwfl);
        return NULL;
    }
    return dwfl;
}

static Dwfl_Module *module_at(Dwfl *dwfl, uintptr_t pc) {
    if (dwfl == NULL)
        return NULL;
    Dwfl_Module *module = dwfl_addrmodule(dwfl, pc);
    if (module != NULL)
        return module;
    dwfl_report_begin(dwfl);
    if (dwfl_linux_proc_report(dwfl, getpid()) != 0 || dwfl_report_end(dwfl, NULL, NULL) != 0)
        return NULL;
    return dwfl_addrmodule(dwfl, pc);
}

/* libdwfl finds the unit of an address by .debug_aranges, which Clang does not write: then every
   unit is asked whether the address is in it. */
static Dwarf_Die *unit_of(Dwfl_Module *module, uintptr_t pc, Dwarf_Addr *bias) {
    Dwarf_Die *unit = dwfl_module_addrdie(module, pc, bias);
    if (unit != NULL)
        return unit;
    while ((unit = dwfl_module_nextcu(module, unit, bias)) != NULL)
        if (dwarf_haspc(unit, pc - *bias) > 0)
            return unit;
    return NULL;
}

static int number_of(Dwarf_Die *die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    return dwarf_formudata(dwarf_attr(die, name, &attribute), &value) == 0 ? (int)value : 0;
}

/* The one among the children of `parent` that has code at that address, into *child. */
static bool child_at(Dwarf_Die *parent, Dwarf_Addr at, Dwarf_Die *child) {
    if (dwarf_child(parent, child) != 0)
        return false;
    do {
        int tag = dwarf_tag(child);
        if ((tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine
             || tag == DW_TAG_lexical_block)
            && dwarf_haspc(child, at) > 0)
            return true;
    } while (dwarf_siblingof(child, child) == 0);
    return false;
}

/* Was the code there put into its function from elsewhere? Then where the function calls it. */
static const char *call_in_function(Dwarf_Die *unit, Dwarf_Addr at, int *number) {
    Dwarf_Die die = *unit;
    while (child_at(&die, at, &die))
        if (dwarf_tag(&die) == DW_TAG_inlined_subroutine) {
            Dwarf_Files *files;
            *number = number_of(&die, DW_AT_call_line);
            if (dwarf_getsrcfiles(unit, &files, NULL) != 0)
                return NULL;
            return dwarf_filesrc(files, (size_t)number_of(&die, DW_AT_call_file), NULL, NULL);
        }
    return NULL;
}

static const char *source_of(Dwfl_Module *module, uintptr_t pc, int *number) {
    Dwarf_Addr bias;
    Dwarf_Die *unit = unit_of(module, pc, &bias);
    if (unit == NULL)
        return NULL;
    const char *file = call_in_function(unit, pc - bias, number);
    if (file != NULL)
        return file;
    Dwarf_Line *line = dwarf_getsrc_die(unit, pc - bias);
    if (line == NULL || dwarf_lineno(line, number) != 0)
        return NULL;
    return dwarf_linesrc(line, NULL, NULL);
}

static void look_up(Dwfl *dwfl, uintptr_t pc, struct cop__symbol *out) {
    memset(out, 0, sizeof *out);
    Dwfl_Module *module = module_at(dwfl, pc);
    const char *name = module != NULL ? dwfl_module_addrname(module, pc) : NULL;
    if (name != NULL)
        copy_text(out->function, sizeof out->function, name);
    const char *file = module != NULL ? source_of(module, pc, &out->line) : NULL;
    if (file != NULL) {
        const char *slash = strrchr(file, '/');
        copy_text(out->file, sizeof out->file, slash != NULL ? slash + 1 : file);
    }
    Dl_info info;
    if (out->function[0] == '\0' && dladdr((void *)pc, &info) != 0 && info.dli_sname != NULL)
        copy_text(out->function, sizeof out->function, info.dli_sname);
}

#endif

/* Without a name: the place in its module, which is the same in every run. */
static void name_by_offset(uintptr_t pc, struct cop__symbol *out) {
    Dl_info info;
    if (out->function[0] != '\0' || dladdr((void *)pc, &info) == 0 || info.dli_fname == NULL)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    snprintf(out->function, sizeof out->function, "%.64s+0x%llx",
             slash != NULL ? slash + 1 : info.dli_fname,
             (unsigned long long)(pc - (uintptr_t)info.dli_fbase));
}

static void *serve(void *unused) {
    (void)unused;
    Dwfl *dwfl = modules_open();
    pthread_mutex_lock(&service.mutex);
    for (;;) {
        if (!service.asked) {
            if (service.stop)
                break;
            pthread_cond_wait(&service.changed, &service.mutex);
            continue;
        }
        service.asked = false;
        uintptr_t pc = service.question;
        pthread_mutex_unlock(&service.mutex);
        struct cop__symbol symbol;
        look_up(dwfl, pc, &symbol);
        cut_suffix(symbol.function);
        name_by_offset(pc, &symbol);
        pthread_mutex_lock(&service.mutex);
        service.answer = symbol;
        service.answered = true;
        pthread_cond_broadcast(&service.changed);
    }
    pthread_mutex_unlock(&service.mutex);
    if (dwfl != NULL)
        dwfl_end(dwfl);
    return NULL;
}

/* Under the mutex. */
static bool service_start(void) {
    if (service.started)
        return true;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    service.stop = false;
    if (service.cache == NULL)
        service.cache = calloc(CACHE, sizeof *service.cache);
    service.started =
        service.cache != NULL && pthread_create(&service.thread, &attr, serve, NULL) == 0;
    pthread_attr_destroy(&attr);
    return service.started;
}

/* Under the mutex, with the thread running and nobody else asking. */
static void ask(uintptr_t pc, size_t place) {
    service.busy = true;
    service.question = pc;
    service.answered = false;
    service.asked = true;
    pthread_cond_broadcast(&service.changed);
    while (!service.answered)
        pthread_cond_wait(&service.changed, &service.mutex);
    service.cache[place].pc = pc;
    service.cache[place].symbol = service.answer;
    service.busy = false;
    pthread_cond_broadcast(&service.changed);
}

bool cop__symbol_of(uintptr_t pc, struct cop__symbol *out) {
    memset(out, 0, sizeof *out);
    size_t place = (pc >> 2) % CACHE;
    pthread_mutex_lock(&service.mutex);
    while (service.busy || service.stopping)
        pthread_cond_wait(&service.changed, &service.mutex);
    bool ok = service_start();
    if (ok && service.cache[place].pc != pc)
        ask(pc, place);
    if (ok)
        *out = service.cache[place].symbol;
    pthread_mutex_unlock(&service.mutex);
    return ok && out->function[0] != '\0';
}

void cop__symbol_stop(void) {
    pthread_mutex_lock(&service.mutex);
    while (service.stopping)
        pthread_cond_wait(&service.changed, &service.mutex);
    service.stopping = true;
    while (service.busy)
        pthread_cond_wait(&service.changed, &service.mutex);
    if (service.started) {
        service.stop = true;
        pthread_cond_broadcast(&service.changed);
        pthread_mutex_unlock(&service.mutex);
        pthread_join(service.thread, NULL);
        pthread_mutex_lock(&service.mutex);
        service.started = false;
    }
    free(service.cache);
    service.cache = NULL;
    service.stopping = false;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.mutex);
}
