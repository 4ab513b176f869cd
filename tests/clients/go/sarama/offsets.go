package main

import (
	"errors"
	"time"

	"github.com/IBM/sarama"

	"clients/contract"
)

func times(o contract.Options) {
	config := settings()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	client, err := sarama.NewClient([]string{o.Bootstrap}, config)
	contract.Must(err)
	for at, expected := range contract.Offsets {
		found, err := client.GetOffset(o.Topic, 0, at)
		contract.Must(err)
		if found != expected {
			contract.Fail("a wrong offset for a time")
		}
	}
	contract.Step("offsets-for-times")
	producer, err := sarama.NewSyncProducerFromClient(client)
	contract.Must(err)
	message := &sarama.ProducerMessage{
		Topic: o.Stamped, Key: sarama.StringEncoder("key"), Value: sarama.StringEncoder("value"),
		Timestamp: time.UnixMilli(contract.OwnTime),
	}
	_, _, err = producer.SendMessage(message)
	contract.Must(err)
	contract.Stamped("answered", message.Timestamp)
	consumer, err := sarama.NewConsumerFromClient(client)
	contract.Must(err)
	reader, err := consumer.ConsumePartition(o.Stamped, 0, sarama.OffsetOldest)
	contract.Must(err)
	contract.Stamped("read", (<-reader.Messages()).Timestamp)
	waits(client, o.Topic)
}

// A fetch at the end of a topic, without the client's own loop.
func waits(client sarama.Client, topic string) {
	end, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	contract.Must(err)
	leader, err := client.Leader(topic, 0)
	contract.Must(err)
	request := &sarama.FetchRequest{
		Version: 11, MaxWaitTime: int32(contract.Wait.Milliseconds()), MinBytes: 1, MaxBytes: 1 << 20, SessionEpoch: -1,
	}
	request.AddBlock(topic, 0, end, 1<<20, -1)
	since := time.Now()
	_, err = leader.Fetch(request)
	contract.Must(err)
	contract.Waited(since)
}

// It leaves it to its user where to go on.
func beyond(o contract.Options) {
	consumer, err := sarama.NewConsumer([]string{o.Bootstrap}, settings())
	contract.Must(err)
	_, err = consumer.ConsumePartition(o.Topic, 0, contract.Beyond)
	contract.Refused("out-of-range", err, func(err error) bool { return errors.Is(err, sarama.ErrOffsetOutOfRange) })
}

func absent(o contract.Options) {
	for _, allowed := range []bool{false, true} {
		topic, refused := o.Topic+"-unwanted", "not-created"
		if allowed {
			topic, refused = o.Topic, "unknown-topic"
		}
		config := settings()
		config.Metadata.AllowAutoTopicCreation = allowed
		producer, err := sarama.NewSyncProducer([]string{o.Bootstrap}, config)
		contract.Must(err)
		message := &sarama.ProducerMessage{
			Topic: topic, Key: sarama.StringEncoder("key"), Value: sarama.StringEncoder("value"),
		}
		if _, _, err = producer.SendMessage(message); err == nil {
			contract.Step("created")
		} else {
			contract.Refused(refused, err, func(err error) bool {
				return errors.Is(err, sarama.ErrUnknownTopicOrPartition)
			})
		}
	}
}
