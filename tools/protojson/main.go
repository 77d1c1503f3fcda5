// protojson says what Go's official ProtoJSON parser makes of messages in JSON.
//
// It reads one JSON document: {"descriptors": <a FileDescriptorSet>, "types": [<full names of messages>], "texts":
// [<JSON texts>]}, in which descriptors and texts are base64. It writes a list with one entry for each text: the message
// as JSON, or null if the parser refuses the text. Unknown fields are ignored, as by connect-go and grpc-gateway.
package main

import (
	"encoding/json"
	"log"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "google.golang.org/protobuf/types/known/timestamppb"
)

type input struct {
	Descriptors []byte   `json:"descriptors"`
	Types       []string `json:"types"`
	Texts       [][]byte `json:"texts"`
}

func main() {
	var in input
	check(json.NewDecoder(os.Stdin).Decode(&in))
	var set descriptorpb.FileDescriptorSet
	check(proto.Unmarshal(in.Descriptors, &set))
	files, err := protodesc.NewFiles(&set)
	check(err)
	results := make([]json.RawMessage, len(in.Types))
	for i, each := range in.Types {
		found, err := files.FindDescriptorByName(protoreflect.FullName(each))
		check(err)
		message := dynamicpb.NewMessage(found.(protoreflect.MessageDescriptor))
		options := protojson.UnmarshalOptions{DiscardUnknown: true}
		results[i] = json.RawMessage("null")
		if options.Unmarshal(in.Texts[i], message) == nil {
			results[i], err = protojson.Marshal(message)
			check(err)
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(results))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
