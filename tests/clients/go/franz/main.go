// franz-go, in the contract of tests/clients/README.md.
package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"clients/contract"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func main() {
	o := contract.Parse()
	switch o.Scenario {
	case "produce":
		produce(o)
	case "read":
		read(o)
	case "consume", "follow":
		consume(o)
	case "times":
		times(o)
	case "beyond":
		beyond(o)
	case "absent":
		absent(o)
	case "topics":
		topics(o)
	case "groups":
		groups(o)
	case "refusals":
		refusals(o)
	default:
		contract.Fail("no such scenario: " + o.Scenario)
	}
}

func connect(o contract.Options, more ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(more, kgo.SeedBrokers(strings.Split(o.Bootstrap, ",")...))...)
	contract.Must(err)
	return client
}

func produce(o contract.Options) {
	lines := contract.Lines()
	count := 0
	for _, codec := range o.Codecs {
		client := connect(o, kgo.DefaultProduceTopic(o.Topic), kgo.ProducerBatchCompression(codecs[codec]))
		var records []*kgo.Record
		for _, line := range lines {
			records = append(records, kgo.KeyStringRecord(line.Key, line.Value))
		}
		contract.Must(client.ProduceSync(context.Background(), records...).FirstErr())
		count += len(records)
		client.Close()
	}
	contract.Produced(count)
}

func read(o contract.Options) {
	client := connect(o, kgo.ConsumeTopics(o.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	for left := o.Count; left > 0; {
		fetches := client.PollFetches(context.Background())
		contract.Must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			contract.Record(r.Partition, r.Offset, r.Key, r.Value)
			left--
		})
	}
}

// A place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// A member knows what it has, and has printed.
type member struct {
	sync.Mutex
	partitions map[place]bool
	printed    []*kgo.Record
}

func (m *member) change(now bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, client *kgo.Client, changed map[string][]int32) {
		m.Lock()
		defer m.Unlock()
		if !now {
			m.commit(client)
		}
		for topic, partitions := range changed {
			if !now {
				contract.Revoked(partitions)
			}
			for _, partition := range partitions {
				if now {
					m.partitions[place{topic, partition}] = true
				} else {
					delete(m.partitions, place{topic, partition})
				}
			}
		}
		var partitions []int32
		for at := range maps.Keys(m.partitions) {
			partitions = append(partitions, at.partition)
		}
		contract.Assigned(partitions)
	}
}

func (m *member) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	m.Lock()
	defer m.Unlock()
	for topic, partitions := range lost {
		for _, partition := range partitions {
			delete(m.partitions, place{topic, partition})
		}
	}
}

func (m *member) commit(client *kgo.Client) {
	if len(m.printed) > 0 {
		contract.Must(client.CommitRecords(context.Background(), m.printed...))
	}
	m.printed = nil
}

var balancers = map[string]kgo.GroupBalancer{
	"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

// What a member says of itself when it joins.
func identity(o contract.Options) []kgo.Opt {
	opts := []kgo.Opt{kgo.SessionTimeout(time.Duration(o.Session) * time.Millisecond)}
	if o.Pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(o.Pattern),
			kgo.MetadataMaxAge(500*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))
	} else {
		opts = append(opts, kgo.ConsumeTopics(o.Topic))
	}
	if o.Assignor != "" {
		opts = append(opts, kgo.Balancers(balancers[o.Assignor]))
	}
	if o.Instance != "" {
		opts = append(opts, kgo.InstanceID(o.Instance))
	}
	return opts
}

func consume(o contract.Options) {
	m := &member{partitions: map[place]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.Protocol == "consumer" {
		ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true)
	}
	if o.Scenario == "follow" {
		o.Count = 1 << 30
		go func() {
			contract.AwaitEnd()
			cancel()
		}()
	}
	client := connect(o, append(identity(o), kgo.WithContext(context.WithoutCancel(ctx)),
		kgo.ConsumerGroup(o.Group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.OnPartitionsAssigned(m.change(true)),
		kgo.OnPartitionsRevoked(m.change(false)), kgo.OnPartitionsLost(m.lost))...)
	for left := o.Count; left > 0 && ctx.Err() == nil; {
		fetches := client.PollRecords(ctx, left)
		// It tells of a group that it could not join, and tries again by itself.
		var session *kgo.ErrGroupSession
		if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) && !errors.As(err, &session) {
			contract.Fail(err.Error())
		}
		m.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			contract.Record(r.Partition, r.Offset, r.Key, r.Value)
			m.printed = append(m.printed, r)
			left--
		})
		// Of a topic that is deleted nothing can be committed.
		if o.Pattern != "" {
			m.commit(client)
		}
		m.Unlock()
	}
	m.Lock()
	m.commit(client)
	m.Unlock()
	client.Close()
}

func topics(o contract.Options) {
	client := connect(o)
	defer client.Close()
	admin, ctx := kadm.NewClient(client), context.Background()
	second := "1000"
	_, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &second}, o.Topic)
	contract.Must(err)
	contract.Step("created")
	listed, err := admin.ListTopics(ctx, o.Topic)
	contract.Must(err)
	contract.Check("listed", listed.Has(o.Topic), true)
	contract.Check("described", len(listed[o.Topic].Partitions), 3)
	retention := func() *kadm.Config {
		described, err := admin.DescribeTopicConfigs(ctx, o.Topic)
		contract.Must(err)
		for _, config := range described[0].Configs {
			if config.Key == "retention.ms" {
				return &config
			}
		}
		contract.Fail("retention.ms is not described")
		panic("unreachable")
	}
	contract.Check("settings", retention().MaybeValue(), "1000")
	longer := "2000"
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &longer}}, o.Topic)
	contract.Must(err)
	contract.Check("changed", retention().MaybeValue(), "2000")
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.ms"}}, o.Topic)
	contract.Must(err)
	contract.Check("default", retention().MaybeValue(), "604800000")
	grown, err := admin.UpdatePartitions(ctx, 4, o.Topic)
	contract.Must(err)
	contract.Must(grown.Error())
	contract.Step("grown")
	ends, err := admin.ListEndOffsets(ctx, o.Topic)
	contract.Must(err)
	contract.Check("offsets", len(ends[o.Topic]), 4)
	cluster, err := admin.BrokerMetadata(ctx)
	contract.Must(err)
	contract.Check("cluster", len(cluster.Brokers) > 0 && cluster.Cluster != "", true)
	_, err = admin.DeleteTopic(ctx, o.Topic)
	contract.Must(err)
	contract.Step("deleted")
}

func groups(o contract.Options) {
	client := connect(o)
	defer client.Close()
	admin, ctx := kadm.NewClient(client), context.Background()
	listed, err := admin.ListGroups(ctx)
	contract.Must(err)
	contract.Check("group-listed", slices.Contains(listed.Groups(), o.Group), true)
	if o.Protocol == "classic" {
		described, err := admin.DescribeGroups(ctx, o.Group)
		contract.Must(err)
		contract.Check("group-described", described[o.Group].State, "Empty")
	} else {
		described, err := admin.DescribeConsumerGroups(ctx, o.Group)
		contract.Must(err)
		contract.Check("group-described", described[o.Group].State, "Empty")
	}
	sum := func() (sum int) {
		fetched, err := admin.FetchOffsets(ctx, o.Group)
		contract.Must(err)
		fetched.Each(func(offset kadm.OffsetResponse) { sum += int(offset.At) })
		return sum
	}
	contract.Check("group-offsets", sum(), o.Count)
	_, err = admin.DeleteOffsets(ctx, o.Group, kadm.TopicsSet{o.Topic: {0: {}}})
	contract.Must(err)
	contract.Check("group-offset-deleted", sum() < o.Count, true)
	deleted, err := admin.DeleteGroup(ctx, o.Group)
	contract.Must(err)
	contract.Must(deleted.Err)
	deleted, err = admin.DeleteGroup(ctx, o.Group)
	contract.Refused("group-deleted", errors.Join(err, deleted.Err), func(err error) bool {
		return errors.Is(err, kerr.GroupIDNotFound)
	})
}

func refusals(o contract.Options) {
	client := connect(o)
	defer client.Close()
	admin, ctx := kadm.NewClient(client), context.Background()
	unknown := func(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) }
	_, err := admin.DeleteTopic(ctx, o.Topic)
	contract.Refused("unknown-topic", err, unknown)
	_, err = admin.CreateTopic(ctx, 1, 1, nil, "no/topic")
	contract.Refused("invalid-topic", err, func(err error) bool { return errors.Is(err, kerr.InvalidTopicException) })
}
