#!/bin/bash
# Builds the package for macOS, on a Mac with Xcode's command line tools and Go:
#
#   packaging/macos/build.sh VERSION OUTDIR
#
# UNTESTED: no Mac has run this yet. The keychain needs cgo, so it cannot be built elsewhere.
#
# Signed and notarised when these are set (see codesign(1), productbuild(1), notarytool):
#
#   PROFITD_SIGN_APP         identity for programs: "Developer ID Application: …"
#   PROFITD_SIGN_INSTALLER   identity for packages: "Developer ID Installer: …"
#   PROFITD_NOTARY_PROFILE   name under which `xcrun notarytool store-credentials` keeps the account
set -euo pipefail
umask 022

if [ $# -ne 2 ]; then
	sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
	exit 2
fi
version=$1
mkdir -p "$2"
dest=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
bin=$stage/root/usr/local/bin
mkdir -p "$bin" "$stage/root/Library/LaunchDaemons" "$stage/root/usr/local/share/man/man1" "$stage/root/usr/local/share/doc/profitd"

for name in profitd profitctl; do
	for arch in amd64 arm64; do
		CGO_ENABLED=1 GOOS=darwin GOARCH=$arch go build -trimpath -buildvcs=false \
			-ldflags "-s -w -X main.release=$version" -o "$stage/$name.$arch" "./cmd/$name"
	done
	lipo -create -output "$bin/$name" "$stage/$name.amd64" "$stage/$name.arm64"
	if [ -n "${PROFITD_SIGN_APP:-}" ]; then
		codesign --sign "$PROFITD_SIGN_APP" --identifier "com.github.profitd.$name" --options runtime --timestamp "$bin/$name"
	fi
	go run -tags docs "./cmd/$name" "$stage/root/usr/local/share/man/man1"
done
cp daemon/service/profitd.plist "$stage/root/Library/LaunchDaemons/"
cp config.example.toml "$stage/root/usr/local/share/doc/profitd/"

pkgbuild --root "$stage/root" --scripts packaging/macos/scripts --identifier com.github.profitd --version "$version" \
	--ownership recommended --install-location / "$stage/profitd.pkg"
sign=()
if [ -n "${PROFITD_SIGN_INSTALLER:-}" ]; then sign=(--sign "$PROFITD_SIGN_INSTALLER" --timestamp); fi
productbuild ${sign[@]+"${sign[@]}"} --package "$stage/profitd.pkg" "$dest/profitd_$version.pkg"
if [ -n "${PROFITD_NOTARY_PROFILE:-}" ]; then
	xcrun notarytool submit "$dest/profitd_$version.pkg" --keychain-profile "$PROFITD_NOTARY_PROFILE" --wait
	xcrun stapler staple "$dest/profitd_$version.pkg"
fi
(cd "$dest" && shasum -a 256 "profitd_$version.pkg")
