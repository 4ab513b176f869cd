package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"clients/contract"
)

// A client that reads the one partition of a topic from an offset.
func alone(o contract.Options, topic string, at kgo.Offset, more ...kgo.Opt) *kgo.Client {
	from := map[string]map[int32]kgo.Offset{topic: {0: at}}
	return connect(o, append(more, kgo.ConsumePartitions(from))...)
}

func first(client *kgo.Client) (*kgo.Record, error) {
	for {
		fetches := client.PollRecords(context.Background(), 1)
		if err := fetches.Err(); err != nil || fetches.NumRecords() > 0 {
			return firstOf(fetches), err
		}
	}
}

func firstOf(fetches kgo.Fetches) *kgo.Record {
	if records := fetches.Records(); len(records) > 0 {
		return records[0]
	}
	return nil
}

func times(o contract.Options) {
	client := connect(o)
	defer client.Close()
	admin, ctx := kadm.NewClient(client), context.Background()
	for at, expected := range contract.Offsets {
		listed, err := admin.ListOffsetsAfterMilli(ctx, at, o.Topic)
		contract.Must(err)
		found, _ := listed.Lookup(o.Topic, 0)
		// Its sign of no such offset is the end, without a time.
		if (expected >= 0 && found.Offset != expected) || (expected < 0 && found.Timestamp != -1) {
			contract.Fail("a wrong offset for a time")
		}
	}
	contract.Step("offsets-for-times")
	record := &kgo.Record{
		Topic: o.Stamped, Key: []byte("key"), Value: []byte("value"), Timestamp: time.UnixMilli(contract.OwnTime),
	}
	contract.Must(client.ProduceSync(ctx, record).FirstErr())
	reader := alone(o, o.Stamped, kgo.NewOffset().AtStart())
	defer reader.Close()
	read, err := first(reader)
	contract.Must(err)
	contract.Check("append-time", read.Attrs.TimestampType(), 1)
	contract.Stamped("read", read.Timestamp)
	waits(client, o.Topic)
}

// A fetch at the end of a topic, without the client's own loop.
func waits(client *kgo.Client, topic string) {
	admin, ctx := kadm.NewClient(client), context.Background()
	ends, err := admin.ListEndOffsets(ctx, topic)
	contract.Must(err)
	end, _ := ends.Lookup(topic, 0)
	listed, err := admin.ListTopics(ctx, topic)
	contract.Must(err)
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.FetchOffset, partition.PartitionMaxBytes = end.Offset, 1<<20
	requested := kmsg.NewFetchRequestTopic()
	requested.Topic, requested.TopicID = topic, listed[topic].ID
	requested.Partitions = []kmsg.FetchRequestTopicPartition{partition}
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes = int32(contract.Wait.Milliseconds()), 1
	request.Topics = []kmsg.FetchRequestTopic{requested}
	since := time.Now()
	_, err = client.Broker(int(listed[topic].Partitions[0].Leader)).Request(ctx, request)
	contract.Must(err)
	contract.Waited(since)
}

func beyond(o contract.Options) {
	start, end := kgo.NewOffset().AtStart(), kgo.NewOffset().AtEnd()
	for _, policy := range []kgo.Offset{start, end, kgo.NoResetOffset()} {
		client := alone(o, o.Topic, kgo.NewOffset().At(contract.Beyond), kgo.ConsumeResetOffset(policy))
		read, err := first(client)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			contract.Step("out-of-range")
		} else {
			contract.Must(err)
			contract.Record(read.Partition, read.Offset, read.Key, read.Value)
		}
		client.Close()
	}
}

func absent(o contract.Options) {
	for _, allowed := range []bool{false, true} {
		topic, refused := o.Topic+"-unwanted", "not-created"
		opts := []kgo.Opt{kgo.UnknownTopicRetries(3), kgo.MetadataMinAge(100 * time.Millisecond)}
		if allowed {
			topic, refused = o.Topic, "unknown-topic"
			opts = append(opts, kgo.AllowAutoTopicCreation())
		}
		client := connect(o, opts...)
		record := &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte("value")}
		err := client.ProduceSync(context.Background(), record).FirstErr()
		if err == nil {
			contract.Step("created")
		} else {
			contract.Refused(refused, err, func(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) })
		}
		client.Close()
	}
}
