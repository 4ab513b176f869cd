// sarama, in the contract of tests/clients/README.md.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"clients/contract"
)

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
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

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.Return.Errors = false
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	return config
}

func produce(o contract.Options) {
	lines := contract.Lines()
	count := 0
	for _, codec := range o.Codecs {
		config := settings()
		config.Producer.Compression = codecs[codec]
		producer, err := sarama.NewSyncProducer([]string{o.Bootstrap}, config)
		contract.Must(err)
		var messages []*sarama.ProducerMessage
		for _, line := range lines {
			messages = append(messages, &sarama.ProducerMessage{
				Topic: o.Topic, Key: sarama.StringEncoder(line.Key), Value: sarama.StringEncoder(line.Value),
			})
		}
		contract.Must(producer.SendMessages(messages))
		count += len(messages)
		contract.Must(producer.Close())
	}
	contract.Produced(count)
}

func read(o contract.Options) {
	consumer, err := sarama.NewConsumer([]string{o.Bootstrap}, settings())
	contract.Must(err)
	partitions, err := consumer.Partitions(o.Topic)
	contract.Must(err)
	messages := make(chan *sarama.ConsumerMessage)
	for _, partition := range partitions {
		reader, err := consumer.ConsumePartition(o.Topic, partition, sarama.OffsetOldest)
		contract.Must(err)
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
	}
	for range o.Count {
		message := <-messages
		contract.Record(message.Partition, message.Offset, message.Key, message.Value)
	}
}

// A member prints what its claims bring, until it has enough.
type member struct {
	sync.Mutex
	left int
	done context.CancelFunc
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	var partitions []int32
	for _, claimed := range session.Claims() {
		partitions = append(partitions, claimed...)
	}
	contract.Assigned(partitions)
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open || !m.take(session, message) {
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) take(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) bool {
	m.Lock()
	defer m.Unlock()
	if m.left == 0 {
		return false
	}
	contract.Record(message.Partition, message.Offset, message.Key, message.Value)
	session.MarkMessage(message, "")
	if m.left--; m.left == 0 {
		m.done()
	}
	return true
}

func consume(o contract.Options) {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{left: o.Count, done: cancel}
	if o.Scenario == "follow" {
		m.left = -1
		go func() {
			contract.AwaitEnd()
			cancel()
		}()
	}
	group, err := sarama.NewConsumerGroup([]string{o.Bootstrap}, o.Group, settings())
	contract.Must(err)
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{o.Topic}, m); err != nil && !errors.Is(err, context.Canceled) {
			contract.Fail(err.Error())
		}
	}
	contract.Must(group.Close())
}

func topics(o contract.Options) {
	admin, err := sarama.NewClusterAdmin([]string{o.Bootstrap}, settings())
	contract.Must(err)
	second := "1000"
	detail := &sarama.TopicDetail{
		NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &second},
	}
	contract.Must(admin.CreateTopic(o.Topic, detail, false))
	contract.Step("created")
	listed, err := admin.ListTopics()
	contract.Must(err)
	_, found := listed[o.Topic]
	contract.Check("listed", found, true)
	described, err := admin.DescribeTopics([]string{o.Topic})
	contract.Must(err)
	contract.Check("described", len(described[0].Partitions), 3)
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: o.Topic, ConfigNames: []string{"retention.ms"}}
	retention := func() string {
		entries, err := admin.DescribeConfig(resource)
		contract.Must(err)
		if len(entries) != 1 {
			contract.Fail("not the one setting that was asked for")
		}
		return entries[0].Value
	}
	contract.Check("settings", retention(), "1000")
	longer := "2000"
	change := map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &longer},
	}
	contract.Must(admin.IncrementalAlterConfig(sarama.TopicResource, o.Topic, change, false))
	contract.Check("changed", retention(), "2000")
	change["retention.ms"] = sarama.IncrementalAlterConfigsEntry{
		Operation: sarama.IncrementalAlterConfigsOperationDelete,
	}
	contract.Must(admin.IncrementalAlterConfig(sarama.TopicResource, o.Topic, change, false))
	contract.Check("default", retention(), "604800000")
	contract.Must(admin.CreatePartitions(o.Topic, 4, nil, false))
	contract.Step("grown")
	contract.Must(admin.DeleteRecords(o.Topic, map[int32]int64{0: 0}))
	contract.Step("records-deleted")
	brokers, _, err := admin.DescribeCluster()
	contract.Must(err)
	contract.Check("cluster", len(brokers) > 0, true)
	contract.Must(admin.DeleteTopic(o.Topic))
	contract.Step("deleted")
	contract.Must(admin.Close())
}

func groups(o contract.Options) {
	admin, err := sarama.NewClusterAdmin([]string{o.Bootstrap}, settings())
	contract.Must(err)
	listed, err := admin.ListConsumerGroups()
	contract.Must(err)
	_, found := listed[o.Group]
	contract.Check("group-listed", found, true)
	described, err := admin.DescribeConsumerGroups([]string{o.Group})
	contract.Must(err)
	contract.Check("group-described", described[0].State, "Empty")
	sum := func() (sum int) {
		fetched, err := admin.ListConsumerGroupOffsets(o.Group, nil)
		contract.Must(err)
		for _, block := range fetched.Blocks[o.Topic] {
			sum += int(block.Offset)
		}
		return sum
	}
	contract.Check("group-offsets", sum(), o.Count)
	contract.Must(admin.DeleteConsumerGroupOffset(o.Group, o.Topic, 0))
	contract.Check("group-offset-deleted", sum() < o.Count, true)
	contract.Must(admin.DeleteConsumerGroup(o.Group))
	contract.Refused("group-deleted", admin.DeleteConsumerGroup(o.Group), func(err error) bool {
		return errors.Is(err, sarama.ErrGroupIDNotFound)
	})
	contract.Must(admin.Close())
}

func refusals(o contract.Options) {
	admin, err := sarama.NewClusterAdmin([]string{o.Bootstrap}, settings())
	contract.Must(err)
	contract.Refused("unknown-topic", admin.DeleteTopic(o.Topic), func(err error) bool {
		return errors.Is(err, sarama.ErrUnknownTopicOrPartition)
	})
	detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}
	contract.Refused("invalid-topic", admin.CreateTopic("no/topic", detail, false), func(err error) bool {
		return errors.Is(err, sarama.ErrInvalidTopic)
	})
	contract.Must(admin.Close())
}
