/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_stage: the subscriptions of a stage, those to its producers or those of its consumers.
 *
 * They stand in one array; free entries are linked. Two tables lead to an entry: from its tag, and, in a
 * producer, from the reference of the monitor on the consumer.
 *
 * The array is plain memory, which the collector does not see. A tag is any term, but nearly always a
 * reference of this node, which is no more than its word; so is a pid of this node. What needs memory of its
 * own, as a stream's tag {ref, ref} does, is saved.
 *
 * Invariants
 *   1. by_tag has every entry in use, once; by_monitor those with a monitor that is not the tag.
 *   2. An index is good until its entry is removed; a pointer only until the next one is added.
 * Threads: the stage's own process.
 */
#include "gen_stage.h"

#include <stdlib.h>

static uint64_t key_of(cop_term t) {
    return cop_is_immediate(t) ? t.w : (uint64_t)cop_phash2(t) << 2;
}

static bool is_tag(const struct stage_sub *sub, cop_term tag) {
    return sub->saved_tag == NULL ? sub->tag.w == tag.w : cop_saved_is(sub->saved_tag, tag);
}

uint32_t stage_sub_search(const struct stage_subs *subs, cop_term tag) {
    if (subs->count == 0)
        return STAGE_NO_SUB;
    size_t place = SIZE_MAX;
    uint64_t key = key_of(tag);
    uint32_t i;
    while ((i = sup_table_next(&subs->by_tag, key, &place)) != STAGE_NO_SUB)
        if (is_tag(&subs->at[i], tag))
            return i;
    return STAGE_NO_SUB;
}

uint32_t stage_sub_find_monitor(const struct stage_subs *subs, cop_term monitor) {
    size_t place = SIZE_MAX;
    uint32_t i = STAGE_NO_SUB;
    while (subs->count != 0
           && (i = sup_table_next(&subs->by_monitor, monitor.w, &place)) != STAGE_NO_SUB)
        if (subs->at[i].monitor.w == monitor.w)
            break;
    return i;
}

static uint32_t entry_new(cop_ctx *ctx, struct stage_subs *subs) {
    if (subs->free != 0) {
        uint32_t i = subs->free - 1;
        subs->free = subs->at[i].next_free;
        return i;
    }
    if (subs->used == subs->cap) {
        uint32_t cap = subs->cap == 0 ? 2 : 2 * subs->cap;
        subs->at = sup_grow(ctx, subs->at, cap * sizeof *subs->at);
        subs->cap = cap;
    }
    return subs->used++;
}

struct stage_sub *stage_sub_add(cop_ctx *ctx, struct stage_subs *subs, cop_term pid, cop_term tag,
                                cop_term monitor) {
    uint32_t i = entry_new(ctx, subs);
    struct stage_sub *sub = &subs->at[i];
    *sub = (struct stage_sub){ .monitor = monitor, .key = key_of(tag), .in_use = true };
    if (cop_is_immediate(pid))
        sub->pid = pid;
    else
        sub->saved_pid = cop_term_save(pid);
    if (cop_is_immediate(tag))
        sub->tag = tag;
    else
        sub->saved_tag = cop_term_save(tag);
    sup_table_put(&subs->by_tag, sub->key, i);
    if (monitor.w != tag.w)
        sup_table_put(&subs->by_monitor, monitor.w, i);
    subs->count++;
    return sub;
}

void stage_sub_remove(struct stage_subs *subs, uint32_t i) {
    struct stage_sub *sub = &subs->at[i];
    sup_table_remove(&subs->by_tag, sub->key, i);
    if (sub->monitor.w != sub->tag.w)
        sup_table_remove(&subs->by_monitor, sub->monitor.w, i);
    cop_saved_forget(sub->saved_pid);
    cop_saved_forget(sub->saved_tag);
    *sub = (struct stage_sub){ .next_free = subs->free };
    subs->free = i + 1;
    subs->count--;
}

cop_term stage_sub_pid(cop_ctx *ctx, const struct stage_sub *sub) {
    return sub->saved_pid == NULL ? sub->pid : cop_saved_load(ctx, sub->saved_pid);
}

cop_term stage_sub_tag(cop_ctx *ctx, const struct stage_sub *sub) {
    return sub->saved_tag == NULL ? sub->tag : cop_saved_load(ctx, sub->saved_tag);
}

cop_from stage_sub_from(cop_ctx *ctx, const struct stage_sub *sub) {
    return (cop_from){ cop_tuple(ctx, stage_sub_pid(ctx, sub), stage_sub_tag(ctx, sub)) };
}

uint32_t stage_sub_next(const struct stage_subs *subs, uint32_t i) {
    while (i < subs->used && !subs->at[i].in_use)
        i++;
    return i < subs->used ? i : STAGE_NO_SUB;
}

void stage_subs_release(struct stage_subs *subs) {
    for (uint32_t i = 0; i < subs->used; i++) {
        cop_saved_forget(subs->at[i].saved_pid);
        cop_saved_forget(subs->at[i].saved_tag);
    }
    free(subs->at);
    free(subs->by_tag.slots);
    free(subs->by_monitor.slots);
}
