# Builds the MSI. Sourced by packaging/build.

# code TEXT: a GUID that belongs to the text, where Windows Installer wants another one for each release.
code() {
	local h
	h=$(printf 'https://github.com/profitd/profitd %s' "$1" | sha256sum)
	h=${h^^}
	echo "${h:0:8}-${h:8:4}-5${h:13:3}-8${h:17:3}-${h:20:12}"
}

msi() {
	local numbers=${VERSION%%-*} name db=out/msi/profitd.msi
	mkdir -p out/msi
	for name in profitd profitctl; do
		# Version information and a manifest go into the program by way of an object file that the linker picks up.
		(cd "src/cmd/$name" && winres simply --arch amd64 --manifest cli \
			--product-name profitd --product-version "$numbers.0" --file-version "$numbers.0" \
			--file-description "$([ $name = profitd ] && echo "Profit token service" || echo "Profit token service: command line")" \
			--original-filename $name.exe --copyright "The authors of profitd" --icon "" 2> >(grep -v 'did not find icon' >&2))
		program windows amd64 $name "$stage/out/msi/$name.exe"
		rm "src/cmd/$name/"*.syso
		sign out/msi/$name.exe
	done
	cp src/config.example.toml out/msi/
	touch -d "@$SOURCE_DATE_EPOCH" out/msi/*
	# wixl warns of what it does not know; an error ends it.
	(cd out/msi && wixl -a x64 -o profitd.msi ../../src/packaging/windows/profitd.wxs \
		-D "Version=$numbers" -D "FullVersion=$VERSION" -D "ProductCode=$(code "product $VERSION")")
	sql() { msibuild $db -q "$1"; }

	# The search path.
	sql "CREATE TABLE \`Environment\` (\`Environment\` CHAR(72) NOT NULL, \`Name\` CHAR(255) NOT NULL LOCALIZABLE, \`Value\` CHAR(255) LOCALIZABLE, \`Component_\` CHAR(72) NOT NULL PRIMARY KEY \`Environment\`)"
	sql "INSERT INTO \`Environment\` (\`Environment\`, \`Name\`, \`Value\`, \`Component_\`) VALUES ('Path', '=-*Path', '[~];[INSTALLDIR]', 'Client')"
	sql "INSERT INTO \`InstallExecuteSequence\` (\`Action\`, \`Sequence\`) VALUES ('RemoveEnvironmentStrings', 3300)"
	sql "INSERT INTO \`InstallExecuteSequence\` (\`Action\`, \`Sequence\`) VALUES ('WriteEnvironmentStrings', 5200)"
	# What the installing person's process may tell the system's.
	sql "UPDATE \`Property\` SET \`Value\` = 'ACCOUNT;INSTALLDIR;WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED' WHERE \`Property\` = 'SecureCustomProperties'"
	# The old version goes first, within the same transaction: if the new one fails, the old one is back.
	sql "UPDATE \`InstallExecuteSequence\` SET \`Sequence\` = 1501 WHERE \`Action\` = 'RemoveExistingProducts'"

	msibuild $db -s "Profit token service" profitd "x64;1033" "{$(code "package $VERSION $(cat out/msi/*.exe out/msi/*.toml src/packaging/windows/* | sha256sum)")}"
	undate $db
	sign $db
	mv $db "$dest/profitd_${VERSION}_x64.msi"
}

# undate gives the MSI the time of the commit in place of the current one, in its summary information: FILETIMEs (type
# 64) behind the format's id.
undate() {
	perl -0777 -pi -e '
		my $time = pack("VVV", 64, (($ENV{SOURCE_DATE_EPOCH} + 11644473600) * 10000000) & 0xffffffff,
			(($ENV{SOURCE_DATE_EPOCH} + 11644473600) * 10000000) >> 32);
		my $at = index($_, pack("H*", "e0859ff2f94f6810ab9108002b27b3d9"));
		$at < 0 and die "cannot find the summary information\n";
		my $info = substr($_, $at, 400);
		($info =~ s/\x40\0\0\0.{8}/$time/sg) == 2 or die "cannot find the two times in the summary information\n";
		substr($_, $at, 400) = $info;' "$1"
}
