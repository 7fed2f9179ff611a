# SPDX-License-Identifier: Apache-2.0
# The Elixir side of registry.*: see bench/coppice/registry.c, whose sizes these are.
#     elixirc -o BEAMS bench/elixir/bench_registry.ex
#     elixir --erl "+S 1:1" -pa BEAMS -e 'BenchRegistry.main("registry.lookup")'
defmodule BenchRegistry.Echo do
  use GenServer
  def init(arg), do: {:ok, arg}
  def handle_call(x, _from, state), do: {:reply, x, state}
end

defmodule BenchRegistry do
  @names 100_000
  @lookups 5
  @via_calls 300_000
  @topic 10_000
  @dispatches 20
  @walks 100

  def main(workload) do
    :logger.set_primary_config(:level, :none)
    {pid, ref} = spawn_monitor(fn -> run(workload) end)

    receive do
      {:DOWN, ^ref, :process, ^pid, :normal} -> System.halt(0)
      {:DOWN, ^ref, :process, ^pid, reason} -> IO.puts("FAILED #{inspect(reason)}"); System.halt(1)
    end
  end

  defp run("registry.register") do
    register_by(:warm, 1, 1)
    out("registry.register", register_by(:one, 1, 1), "names/s")
    out("registry.register.2", register_by(:two, 2, 2), "names/s")
  end

  defp run("registry.lookup") do
    register_by(:one, 1, 1)
    look_up_by(1)
    out("registry.lookup", look_up_by(1), "lookups/s")
    out("registry.lookup.2", look_up_by(2), "lookups/s")
  end

  defp run("registry.via") do
    {:ok, _} = Registry.start_link(keys: :unique, name: :via_names)
    name = {:via, Registry, {:via_names, "server"}}
    {:ok, _} = GenServer.start(BenchRegistry.Echo, nil, name: name)
    via_calls(name, div(@via_calls, 10))
    out("registry.via", time(fn -> via_calls(name, @via_calls) end) / @via_calls, "ns/call")
  end

  defp run("registry.dispatch") do
    {:ok, _} = Registry.start_link(keys: :duplicate, name: :topics)
    me = self()
    for _ <- 1..@topic do
      spawn(fn ->
        {:ok, _} = Registry.register(:topics, :topic, nil)
        send(me, :subscribed)
        subscriber()
      end)
    end
    collect(@topic, :subscribed)
    event = fn entries -> for {pid, _} <- entries, do: send(pid, {:event, me}) end
    dispatch(event, div(@dispatches, 10), @topic)
    took = time(fn -> dispatch(event, @dispatches, @topic) end)
    out("registry.dispatch", took / (@dispatches * @topic), "ns/entry")
    walk = fn entries -> for {_, _} <- entries, do: :ok end
    dispatch(walk, div(@walks, 10), 0)
    out("registry.dispatch.walk", time(fn -> dispatch(walk, @walks, 0) end) / (@walks * @topic), "ns/entry")
  end

  defp register_by(name, partitions, processes) do
    {:ok, _} = Registry.start_link(keys: :unique, name: name, partitions: partitions)
    size = div(@names, processes)
    timed_by(processes, :registered, fn i, go ->
      keys = names(i * size + 1, (i + 1) * size)
      go.()
      for key <- keys, do: {:ok, _} = Registry.register(name, key, nil)
    end, @names)
  end

  defp look_up_by(processes) do
    timed_by(processes, :looked, fn _i, go ->
      keys = names(1, @names)
      go.()
      for _ <- 1..@lookups, key <- keys, do: [{_, _}] = Registry.lookup(:one, key)
    end, processes * @lookups * @names)
  end

  # Processes that make ready, begin together and stay; how many things a second.
  defp timed_by(processes, done, work, count) do
    me = self()
    pids =
      for i <- 0..(processes - 1) do
        spawn(fn ->
          work.(i, fn -> send(me, :ready); receive do :go -> :ok end end)
          send(me, done)
          Process.sleep(:infinity)
        end)
      end
    collect(processes, :ready)
    took = time(fn ->
      for pid <- pids, do: send(pid, :go)
      collect(processes, done)
    end)
    count * 1.0e9 / took
  end

  defp names(first, last), do: for(i <- first..last, do: "name_#{i}")

  defp via_calls(_name, 0), do: :ok
  defp via_calls(name, n) do
    1 = GenServer.call(name, 1)
    via_calls(name, n - 1)
  end

  defp dispatch(_fun, 0, _answers), do: :ok
  defp dispatch(fun, n, answers) do
    :ok = Registry.dispatch(:topics, :topic, fun)
    collect(answers, :taken)
    dispatch(fun, n - 1, answers)
  end

  defp subscriber do
    receive do {:event, main} -> send(main, :taken) end
    subscriber()
  end

  defp collect(0, _), do: :ok
  defp collect(n, what), do: (receive do ^what -> collect(n - 1, what) end)

  defp time(fun) do
    began = :erlang.monotonic_time(:nanosecond)
    fun.()
    :erlang.monotonic_time(:nanosecond) - began
  end

  defp out(name, value, unit), do: :io.format("~s ~.3f ~s~n", [name, value * 1.0, unit])
end
