// SPDX-License-Identifier: Apache-2.0

// The CAF side of the benchmarks, for the workloads where its actors are the fastest peer:
//
//     cafbench WORKLOAD THREADS
//
// Sizes are those of bench/coppice/bench.h: change both or none.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "caf/all.hpp"

using namespace caf;

namespace {

constexpr long memory_processes = 1000000;
constexpr int bigmsg_list_length = 1000;
constexpr int bigmsg_list_rounds = 100000;

double now_ns() {
    using namespace std::chrono;
    return double(duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
}

[[noreturn]] void fail(const char *what) {
    printf("FAILED %s\n", what);
    fflush(stdout);
    _Exit(1);
}

double resident_bytes() {
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == nullptr || fscanf(file, "%ld %ld", &all, &resident) != 2)
        fail("statm");
    fclose(file);
    return double(resident) * 4096;
}

// An actor that waits for a message of one of two kinds, as a small server does.
behavior idle(event_based_actor *) {
    return { [](int x) { return x; }, [](const std::string &) { return 1; } };
}

void memory(actor_system &system, const char *name) {
    double before = resident_bytes();
    std::vector<actor> all;
    all.reserve(memory_processes);
    for (long i = 0; i < memory_processes; i++)
        all.push_back(system.spawn(idle));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    if (system.registry().running() < size_t(memory_processes))
        fail("some of a million actors are gone");
    printf("%s %.3f bytes/process\n", name, (resident_bytes() - before) / memory_processes);
}

std::mutex mutex;
std::condition_variable ended;
bool has_ended;

behavior acker(event_based_actor *self) {
    return { [=](const std::vector<int64_t> &list) {
        if (list.size() != bigmsg_list_length)
            fail("bigmsg");
        self->send(actor_cast<actor>(self->current_sender()), 1);
    } };
}

struct left {
    int rounds = 0;
};

behavior sender(stateful_actor<left> *self, actor to, std::vector<int64_t> list, int rounds) {
    self->state.rounds = rounds;
    self->send(to, list);
    return { [=](int) {
        if (--self->state.rounds > 0) {
            self->send(to, list);
            return;
        }
        std::lock_guard<std::mutex> guard(mutex);
        has_ended = true;
        ended.notify_all();
        self->quit();
    } };
}

double send_lists(actor_system &system, const actor &to, int rounds) {
    double start = now_ns();
    has_ended = false;
    system.spawn(sender, to, std::vector<int64_t>(bigmsg_list_length, 7), rounds);
    std::unique_lock<std::mutex> lock(mutex);
    ended.wait(lock, [] { return has_ended; });
    return now_ns() - start;
}

void bigmsg_list(actor_system &system) {
    actor to = system.spawn(acker);
    send_lists(system, to, bigmsg_list_rounds / 10);
    printf("bigmsg.list %.3f ns/round\n",
           send_lists(system, to, bigmsg_list_rounds) / bigmsg_list_rounds);
}

} // namespace

int main(int argc, char **argv) {
    std::string workload = argc == 3 ? argv[1] : "";
    actor_system_config config;
    config.set("scheduler.max-threads", argc == 3 ? atoi(argv[2]) : 1);
    actor_system system{ config };
    if (workload.rfind("memory.", 0) == 0)
        memory(system, argv[1]);
    else if (workload == "bigmsg.list")
        bigmsg_list(system);
    else
        fprintf(stderr, "usage: cafbench WORKLOAD THREADS\n");
    fflush(stdout);
    _Exit(0); // a million actors would take long to go
}
