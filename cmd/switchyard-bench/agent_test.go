package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/cluster"
	"github.com/switchyard-im/switchyard/bench/record"
)

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const secretText = "0123456789abcdef0123456789abcdef"

// agentProcess starts an agent of its own, and returns its address and the process.
func agentProcess(t *testing.T, secret string) (string, *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "agent", "--listen", "127.0.0.1:0", "--secret-file", secret)
	cmd.Env = append(os.Environ(), asItself+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, found := strings.Cut(strings.TrimSpace(line), "waits for a controller at ")
	if !found {
		t.Fatalf("the agent says %q", line)
	}
	return address, cmd.Process
}

// TestTwoMachines: what two agents find together is what there was, and the percentiles are those of one histogram.
func TestTwoMachines(t *testing.T) {
	server, err := chatserver.Start(chatserver.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	secret, path := secretFile(t, secretText), filepath.Join(t.TempDir(), "run.json")
	one, _ := agentProcess(t, secret)
	two, _ := agentProcess(t, secret)
	controller := []string{"controller", "--agents", one + "," + two, "--secret-file", secret}
	code, out, errOut := bench(append(controller, "chat", "--url", server.URL(), "--key", keyFile(t), "--pairs", "5",
		"--rate", "0s:200,1s:400,1s:0", "--warmup", "0s", "--duration", "1500ms", "--json", path, "--fail-if", "deliver_p99>60s")...)
	if code != exitOK || !strings.Contains(out, "5 pairs, open loop") || !strings.Contains(out, "300 sent, 300 accepted, 300 delivered") {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	run, err := record.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	f, deliver := run.Figures, run.Curves["deliver"]
	if f["sent"] != 300 || f["pairs"] != 5 || deliver.Count() < 150 || deliver.Percentiles().P99 != f["deliver_p99"] || deliver.Percentiles().Max != f["deliver_max"] || f["deliver_max"] <= 0 {
		t.Errorf("%v, %d deliveries", f, deliver.Count())
	}
	last, most := run.Samples[len(run.Samples)-1], 0.0
	for _, s := range run.Samples {
		most = max(most, s.Gauges["connections"])
	}
	if last.Load != "" || last.Counts["sent"] == 0 || most != 10 || run.Bench.Scenario != "chat" {
		t.Errorf("%v connections at most, at last %+v %+v", most, last, run.Bench)
	}
	if server.Closed() != 5 {
		t.Errorf("the server saw the ends of %d conversations", server.Closed())
	}
	code, out, errOut = bench(append(controller, mixFile(t, mixed))...)
	if code != exitOK || !strings.Contains(out, "200 sent, 200 accepted, 200 delivered") || !strings.Contains(out, "LOAD noise") || !strings.Contains(out, "3, 3 of them active") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
}

// TestProcesses is the same with children of this process, of which the server's mistakes are told too.
func TestProcesses(t *testing.T) {
	t.Setenv(asItself, "1")
	code, out, errOut := bench("echo", "--url", liar(t), "--conns", "4", "--processes", "3", "--warmup", "0s", "--duration", "300ms")
	if code != exitViolation || !strings.Contains(out, "4, 4 of them active") || !strings.Contains(out, "want message 0") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut = bench("run", mixFile(t, mixed), "--processes", "2")
	if code != exitOK || !strings.Contains(out, "200 sent, 200 accepted, 200 delivered") {
		t.Errorf("%d\n%s\n%s", code, out, errOut)
	}
	code, _, errOut = bench("echo", "--url", liar(t), "--conns", "2", "--processes", "3")
	if code != exitCannotRun || !strings.Contains(errOut, " of 3: ") || !strings.Contains(errOut, "each process needs one") {
		t.Errorf("%d\n%s", code, errOut)
	}
}

// trigger does something when a text is written, once.
type trigger struct {
	strings.Builder
	text string
	do   func()
}

// Write implements io.Writer.
func (w *trigger) Write(b []byte) (int, error) {
	if w.do != nil && strings.Contains(string(b), w.text) {
		w.do()
		w.do = nil
	}
	return w.Builder.Write(b)
}

func TestAnAgentThatIsKilled(t *testing.T) {
	secret, path := secretFile(t, secretText), filepath.Join(t.TempDir(), "run.json")
	one, _ := agentProcess(t, secret)
	two, victim := agentProcess(t, secret)
	var out strings.Builder
	progress := &trigger{text: "measuring", do: func() { _ = victim.Kill() }}
	code := run(t.Context(), []string{
		"controller", "--agents", one + "," + two, "--secret-file", secret, "chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t),
		"--pairs", "4", "--rate", "200", "--warmup", "0s", "--duration", "1h", "--json", path,
	}, &out, progress)
	errOut := progress.String()
	if code != exitCannotRun || !strings.Contains(errOut, "agent "+two+" is lost after ") || !strings.Contains(out.String(), "INCOMPLETE") || !strings.Contains(out.String(), "2 pairs") {
		t.Fatalf("%d\n%s\n%s", code, out.String(), errOut)
	}
	rec, err := record.Read(path)
	if err != nil || rec.Bench.Passed || len(rec.Bench.Failed) == 0 || rec.Figures["sent"] == 0 {
		t.Errorf("%+v, %v", rec, err)
	}
}

func TestAgentsThatAreNotForUs(t *testing.T) {
	secret := secretFile(t, secretText)
	key, err := cluster.LoadSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	agent := &cluster.Agent{Secret: key, Version: "another", Work: work, Log: func(string) {}}
	go func() { ended <- agent.Listen(ctx, listener) }() // ends with the test
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	address, echo := listener.Addr().String(), []string{"echo", "--url", "ws://127.0.0.1:1/"}
	for _, c := range []struct {
		agent, secret string
		command       []string
		code          int
		want          string
	}{
		{"", secret, echo, exitUsage, "--agents names none"},
		{address, secret, append([]string{"echo", "--processes", "2"}, echo[1:]...), exitUsage, "--processes are of this machine"},
		{address, secret, echo, exitCannotRun, "it is version another (protocol 1), the controller is " + version},
		{address, secretFile(t, "another secret, as long"), echo, exitCannotRun, "it has another secret"},
		{address, secretFile(t, "short"), echo, exitCannotRun, "at least 16 are needed"},
		{address, "/no such file", echo, exitCannotRun, "openssl rand"},
		{"127.0.0.1:1", secret, echo, exitCannotRun, "no agent at 127.0.0.1:1 (start `switchyard-bench agent"},
		{address, secret, []string{"sink", "--clickhouse", "x"}, exitUsage, "sink cannot be shared"},
		{address, secret, []string{"echo"}, exitUsage, "--url"},
		{address, secret, []string{"/no such.yaml"}, exitUsage, "no such file"},
	} {
		args := append([]string{"controller", "--agents", c.agent, "--secret-file", c.secret}, c.command...)
		if code, out, errOut := bench(args...); code != c.code || !strings.Contains(errOut, c.want) {
			t.Errorf("%v: %d, without %q\n%s\n%s", args, code, c.want, out, errOut)
		}
	}
	if code, _, errOut := bench("agent", "--listen", address, "--secret-file", secret); code != exitCannotRun || !strings.Contains(errOut, "address already in use") {
		t.Errorf("%d\n%s", code, errOut)
	}
}
