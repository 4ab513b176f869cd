// Package contract is what the Go clients share of the contract in tests/clients/README.md: command line and output.
package contract

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of the command line.
type Options struct {
	Scenario, Bootstrap, Topic, Pattern, Stamped, Group, Protocol, Assignor, Instance string
	Codecs                                                                            []string
	Count, Session                                                                    int
}

// Parse reads the command line.
func Parse() Options {
	if len(os.Args) < 2 {
		Fail("a scenario is missing")
	}
	o := Options{Scenario: os.Args[1]}
	flags := flag.NewFlagSet(o.Scenario, flag.ExitOnError)
	flags.StringVar(&o.Bootstrap, "bootstrap", "", "address of a broker")
	flags.StringVar(&o.Topic, "topic", "", "topic")
	flags.StringVar(&o.Pattern, "pattern", "", "expression of topics that a member follows")
	flags.StringVar(&o.Stamped, "stamped", "", "topic whose records have the time at which they were appended")
	flags.Int("wait", 0, "how long a topic may take to appear; the Go clients count their attempts instead")
	flags.StringVar(&o.Group, "group", "", "group")
	flags.StringVar(&o.Protocol, "protocol", "classic", "protocol of the group")
	flags.StringVar(&o.Assignor, "assignor", "", "assignor of a classic group")
	flags.StringVar(&o.Instance, "instance", "", "static identity of the member")
	flags.IntVar(&o.Session, "session", 45000, "session time-out in milliseconds")
	flags.IntVar(&o.Count, "count", 0, "number of records")
	codecs := flags.String("codecs", "none", "codecs to produce with")
	_ = flags.Parse(os.Args[2:])
	o.Codecs = strings.Split(*codecs, ",")
	return o
}

// A Line of standard input.
type Line struct{ Key, Value string }

// Lines reads standard input to its end.
func Lines() []Line {
	var lines []Line
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		key, value, _ := strings.Cut(scanner.Text(), "\t")
		lines = append(lines, Line{key, value})
	}
	Must(scanner.Err())
	return lines
}

// AwaitEnd returns when standard input ends.
func AwaitEnd() { _, _ = io.Copy(io.Discard, os.Stdin) }

var output sync.Mutex

func print(line any) {
	text, err := json.Marshal(line)
	Must(err)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

// Step tells that an administrative answer was right.
func Step(name string) { print(map[string]any{"step": name}) }

// Produced tells how many records are acknowledged.
func Produced(count int) { print(map[string]any{"step": "produced", "count": count}) }

// Record tells of a record that was read.
func Record(partition int32, offset int64, key, value []byte) {
	print(map[string]any{
		"step": "record", "partition": partition, "offset": offset, "key": string(key), "value": string(value),
	})
}

// Assigned tells what the member has now.
func Assigned(partitions []int32) { tell("assigned", partitions) }

// Revoked tells what is taken away from the member.
func Revoked(partitions []int32) { tell("revoked", partitions) }

func tell(step string, partitions []int32) {
	partitions = append([]int32{}, partitions...)
	slices.Sort(partitions)
	print(map[string]any{"step": step, "partitions": partitions})
}

// Offsets is what `times` asks for: records 5 to 9 have the times 6,000,000 to 10,000,000, the others are deleted.
var Offsets = map[int64]int64{7_500_000: 7, 0: 5, 4_102_444_800_000: -1}

const (
	// OwnTime is the time that `times` gives its own record, in milliseconds.
	OwnTime = 1000
	// Wait is how long `times` waits at the end of a topic.
	Wait = 500 * time.Millisecond
	// WaitMax is what that may take on a machine that is busy with other tests.
	WaitMax = 10 * time.Second
	// Beyond is an offset that no topic of a test reaches.
	Beyond = 1_000_000
)

// Stamped tells which time a record has.
func Stamped(by string, timestamp time.Time) {
	print(map[string]any{"step": by, "timestamp": timestamp.UnixMilli()})
}

// Waited tells that a fetch at the end of a topic took its time and no more.
func Waited(since time.Time) {
	took := time.Since(since)
	Check("waited", took >= Wait-10*time.Millisecond && took < WaitMax, true)
}

// Check ends the program unless the answer is the expected one, and tells the step otherwise.
func Check[T comparable](name string, got, expected T) {
	if got != expected {
		Fail(fmt.Sprintf("%s: got %v, expected %v", name, got, expected))
	}
	Step(name)
}

// Refused ends the program unless the call failed with this error.
func Refused(name string, got error, is func(error) bool) {
	if got == nil || !is(got) {
		Fail(fmt.Sprintf("%s: got %v", name, got))
	}
	Step(name)
}

// Must ends the program when there is an error.
func Must(err error) {
	if err != nil {
		Fail(err.Error())
	}
}

// Fail ends the program.
func Fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
