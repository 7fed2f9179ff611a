// SPDX-License-Identifier: Apache-2.0

// The Go side of the benchmarks, for the workloads where goroutines and channels are the fastest peer:
//
//	GOMAXPROCS=n gobench WORKLOAD
//
// A goroutine is not a process: it has no mailbox of its own, no identity, no links and monitors, and
// messages are shared memory. Where copying is part of the work (bigmsg.list) it copies. Every workload
// warms up with the same code first, counts what came back and prints lines "name value unit". Sizes are
// those of bench/coppice/bench.h: change both or none.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"syscall"
	"time"
)

const (
	spawnBatch         = 1000
	spawnBatches       = 300
	pingpongRounds     = 500000
	ringSize           = 1000
	ringHops           = 2000000
	calls              = 400000
	pairs              = 1000
	faninSenders       = 8
	faninMessages      = 1000000
	fanoutProcesses    = 100000
	fanoutRounds       = 5
	bigmsgBinaryBytes  = 1 << 20
	bigmsgBinaryRounds = 300000
	bigmsgListLength   = 1000
	bigmsgListRounds   = 100000
	timers             = 1000000
	probes             = 1000
)

func out(name string, value float64, unit string) { fmt.Printf("%s %.3f %s\n", name, value, unit) }

func fail(what string) {
	fmt.Println("FAILED", what)
	os.Exit(1)
}

func timed(f func()) float64 {
	start := time.Now()
	f()
	return float64(time.Since(start).Nanoseconds())
}

// ---- spawn, pingpong, ring, fanout

func spawnBatchesOf(batches int) {
	done := make(chan bool, spawnBatch)
	for b := 0; b < batches; b++ {
		for i := 0; i < spawnBatch; i++ {
			go func() { done <- true }()
		}
		for i := 0; i < spawnBatch; i++ {
			if !<-done {
				fail("spawn")
			}
		}
	}
}

func pingpong(rounds int) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	for i := 0; i < rounds; i++ {
		ping <- i
		if <-pong != i {
			fail("pong")
		}
	}
	close(ping)
}

func ring(hops int) float64 {
	first, done := make(chan int), make(chan bool)
	in := first
	for i := 0; i < ringSize; i++ {
		next := first
		if i < ringSize-1 {
			next = make(chan int)
		}
		go func(in, next chan int) {
			for n := range in {
				if n == 0 {
					done <- true
					return
				}
				next <- n - 1
			}
		}(in, next)
		in = next
	}
	return timed(func() { first <- hops; <-done })
}

func fanout() {
	back := make(chan int, fanoutProcesses)
	all := make([]chan int, fanoutProcesses)
	for i := range all {
		all[i] = make(chan int, 1)
		go func(in chan int) {
			for v := range in {
				back <- v
			}
		}(all[i])
	}
	fan := func(rounds int) {
		for r := 0; r < rounds; r++ {
			for _, c := range all {
				c <- r
			}
			for range all {
				if <-back != r {
					fail("fanout")
				}
			}
		}
	}
	fan(2)
	took := timed(func() { fan(fanoutRounds) })
	out("fanout", took/(fanoutRounds*fanoutProcesses), "ns/process")
}

// ---- calls: a channel for the reply that is made for each, and a time-out of five seconds

type request struct {
	value int
	reply chan int
}

func startServer() chan request {
	c := make(chan request)
	go func() {
		for r := range c {
			r.reply <- r.value
		}
	}()
	return c
}

func call(server chan request, value int) {
	reply := make(chan int, 1)
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case server <- request{value, reply}:
	case <-timer.C:
		fail("time-out")
	}
	select {
	case v := <-reply:
		if v != value {
			fail("reply")
		}
	case <-timer.C:
		fail("time-out")
	}
}

func benchCalls(name string, servers []chan request) {
	run := func(total int) {
		done := make(chan bool)
		for _, s := range servers {
			go func(s chan request) {
				for i := 0; i < total/len(servers); i++ {
					call(s, i)
				}
				done <- true
			}(s)
		}
		for range servers {
			<-done
		}
	}
	run(calls / 10)
	out(name, timed(func() { run(calls) })/calls, "ns/call")
}

// ---- many to one

func faninSend(messages int) {
	c, done := make(chan int, 1024), make(chan bool)
	go func() {
		for i := 0; i < messages; i++ {
			if <-c != 1 {
				fail("fanin")
			}
		}
		done <- true
	}()
	for s := 0; s < faninSenders; s++ {
		go func() {
			for i := 0; i < messages/faninSenders; i++ {
				c <- 1
			}
		}()
	}
	<-done
}

// ---- large messages

func bigmsg(name string, rounds int, what func() interface{}) {
	c, ack := make(chan interface{}), make(chan bool)
	go func() {
		for m := range c {
			ack <- m != nil
		}
	}()
	run := func(rounds int) {
		for i := 0; i < rounds; i++ {
			c <- what()
			if !<-ack {
				fail("ack")
			}
		}
	}
	run(rounds / 10)
	out(name, timed(func() { run(rounds) })/float64(rounds), "ns/round")
}

// ---- timers

func benchTimers() {
	pair := func(n int) {
		for i := 0; i < n; i++ {
			if !time.AfterFunc(time.Minute, func() {}).Stop() {
				fail("a timer of a minute was gone")
			}
		}
	}
	pair(timers / 10)
	out("timers.pair", timed(func() { pair(timers) })/timers, "ns/pair")
	all := make([]*time.Timer, timers)
	out("timers.start", timed(func() {
		for i := range all {
			ms := time.Duration(60000 + i*7919%60000)
			all[i] = time.AfterFunc(ms*time.Millisecond, func() {})
		}
	})/timers, "ns/timer")
	out("timers.cancel", timed(func() {
		for _, t := range all {
			if !t.Stop() {
				fail("a timer of a minute was gone")
			}
		}
	})/timers, "ns/timer")
}

// ---- round trips beside goroutines that do not end

func hogs(name string, hog func()) {
	for i := 0; i < runtime.NumCPU(); i++ {
		go hog()
	}
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
	}()
	time.Sleep(200 * time.Millisecond)
	var trips, dues []float64
	// A goroutine gets a processor late here: so a bound of time, and as many probes as fit.
	end := time.Now().Add(5 * time.Second)
	for i := -probes / 10; i < probes && time.Now().Before(end); i++ {
		asleep := time.Now()
		time.Sleep(time.Millisecond)
		start := time.Now()
		ping <- i
		<-pong
		if i >= 0 {
			trips = append(trips, float64(time.Since(start).Nanoseconds())/1000)
			dues = append(dues, float64(time.Since(asleep).Nanoseconds())/1000-1000)
		}
	}
	if len(trips) < 20 {
		fail("fewer than twenty probes")
	}
	sort.Float64s(trips)
	sort.Float64s(dues)
	quantile := func(sorted []float64, thousandths int) float64 {
		at := len(sorted)*thousandths/1000 - 1
		return sorted[at]
	}
	out(name+".p50", quantile(trips, 500), "us")
	out(name+".p99", quantile(trips, 990), "us")
	out(name+".p99.9", quantile(trips, 999), "us")
	out(name+".due.p99", quantile(dues, 990), "us")
}

var never uint64

func spin() {
	for x := uint64(1); ; x = x*1103515245 + 12345 {
		if x == 0 {
			never++
		}
	}
}

func blocking() {
	fifo := fmt.Sprintf("/tmp/coppice-bench-%d.fifo", os.Getpid())
	if syscall.Mkfifo(fifo, 0600) != nil {
		fail("mkfifo")
	}
	defer os.Remove(fifo)
	hogs("hog.blocking", func() { syscall.Open(fifo, syscall.O_RDONLY, 0) })
}

func main() {
	workload := ""
	if len(os.Args) == 2 {
		workload = os.Args[1]
	}
	switch workload {
	case "spawn":
		spawnBatchesOf(spawnBatches / 10)
		took := timed(func() { spawnBatchesOf(spawnBatches) })
		out("spawn", took/(spawnBatches*spawnBatch), "ns/process")
	case "pingpong":
		pingpong(pingpongRounds / 10)
		took := timed(func() { pingpong(pingpongRounds) })
		out("pingpong", took/(2*pingpongRounds), "ns/message")
	case "ring":
		ring(ringHops / 10)
		out("ring", ring(ringHops)/ringHops, "ns/hop")
	case "fanout":
		fanout()
	case "call.1":
		benchCalls("call.1", []chan request{startServer()})
	case "call.8":
		s := startServer()
		benchCalls("call.8", []chan request{s, s, s, s, s, s, s, s})
	case "call.1000":
		var all []chan request
		for i := 0; i < pairs; i++ {
			all = append(all, startServer())
		}
		benchCalls("call.1000", all)
	case "fanin.send":
		faninSend(faninMessages / 10)
		took := timed(func() { faninSend(faninMessages) })
		out("fanin.send", faninMessages*1e9/took, "messages/s")
	case "bigmsg.binary":
		big := make([]byte, bigmsgBinaryBytes)
		bigmsg("bigmsg.binary", bigmsgBinaryRounds, func() interface{} { return big })
	case "bigmsg.list":
		list := make([]int, bigmsgListLength)
		bigmsg("bigmsg.list", bigmsgListRounds, func() interface{} {
			return append([]int(nil), list...)
		})
	case "timers":
		benchTimers()
	case "hog.cooperative":
		hogs("hog.cooperative", spin)
	case "hog.blocking":
		blocking()
	default:
		fmt.Fprintln(os.Stderr, "usage: gobench WORKLOAD")
		os.Exit(2)
	}
}
