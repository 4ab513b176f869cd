# Installs the Kafka clients of tests/clients and builds their programs. tests/run sources this file: it brings
# `tools`, the cache directory, and `apt_install`. Each function exports the variable by which the tests find what it
# installed, and fails when it could not. Directories are named by what was installed, so changed files get another.

# key_of FILE...
key_of() { cat "$@" | sha256sum | cut -c1-12; }

install_jvm_clients() {
    local from=tests/clients/jvm dir
    command -v javac >/dev/null || apt_install openjdk-17-jdk-headless || return 1
    command -v mvn >/dev/null || apt_install maven || return 1
    dir=$tools/jvm-clients-$( (javac -version 2>&1; cat "$from"/*) | sha256sum | cut -c1-12)
    if [ ! -e "$dir/complete" ]; then
        echo "installing JVM clients into $dir" >&2
        rm -rf "$dir"
        mkdir -p "$dir"
        mvn -q -B -f "$from/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
            -DoutputDirectory="$dir/lib" -DincludeScope=runtime >&2 || return 1
        javac -cp "$dir/lib/*" -d "$dir/classes" "$from"/*.java || return 1
        touch "$dir/complete"
    fi
    export EBB_TEST_JVM_CLIENTS=$dir
}

# No client, but from the same place.
install_iceberg_catalog() {
    local from=tests/clients/iceberg-catalog dir
    command -v java >/dev/null || apt_install openjdk-17-jdk-headless || return 1
    command -v mvn >/dev/null || apt_install maven || return 1
    dir=$tools/iceberg-catalog-$(key_of "$from"/pom.xml)
    if [ ! -e "$dir/complete" ]; then
        echo "installing Iceberg's reference catalog into $dir" >&2
        rm -rf "$dir"
        mkdir -p "$dir"
        mvn -q -B -f "$from/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
            -DoutputDirectory="$dir/lib" -DincludeScope=runtime >&2 || return 1
        touch "$dir/complete"
    fi
    export EBB_TEST_ICEBERG_CATALOG=$dir
}

install_go_clients() {
    local from=tests/clients/go dir
    dir=$tools/go-clients-$(key_of "$from"/go.* "$from"/*/*.go)
    if [ ! -e "$dir/complete" ]; then
        command -v go >/dev/null || return 1
        echo "building Go clients into $dir" >&2
        mkdir -p "$dir"
        CGO_ENABLED=0 go build -C "$from" -ldflags '-s -w' -o "$dir/" ./franz ./sarama >&2 || return 1
        touch "$dir/complete"
    fi
    export EBB_TEST_GO_CLIENTS=$dir
}

install_node_clients() {
    local from=tests/clients/node dir
    command -v npm >/dev/null || apt_install nodejs npm || return 1
    dir=$tools/node-clients-$(key_of "$from"/package*.json)
    if [ ! -e "$dir/complete" ]; then
        echo "installing kafkajs into $dir" >&2
        rm -rf "$dir"
        mkdir -p "$dir"
        cp "$from"/package*.json "$dir"
        npm ci --prefix "$dir" --no-audit --no-fund --silent >&2 || return 1
        touch "$dir/complete"
    fi
    export EBB_TEST_NODE_CLIENTS=$dir
}

# librdkafka comes as C, so this takes a minute; the build directory stays, for the next change of the programs.
install_rust_clients() {
    local from=tests/clients/rust dir
    dir=$tools/rust-clients-$(key_of "$from"/Cargo.* "$from"/src/*.rs "$from"/src/bin/*.rs)
    if [ ! -e "$dir/complete" ]; then
        command -v c++ >/dev/null || apt_install build-essential || return 1
        echo "building Rust clients into $dir" >&2
        mkdir -p "$dir"
        CARGO_TARGET_DIR=$tools/rust-clients-build cargo build -q --locked --manifest-path "$from/Cargo.toml" || return 1
        cp "$tools"/rust-clients-build/debug/{rdkafka,rskafka} "$dir" || return 1
        touch "$dir/complete"
    fi
    export EBB_TEST_RUST_CLIENTS=$dir
}
