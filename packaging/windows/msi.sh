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
			--original-filename $name.exe --copyright "The authors of profitd" --icon "")
		program windows amd64 $name "$stage/out/msi/$name.exe"
		rm "src/cmd/$name/"*.syso
		sign out/msi/$name.exe
	done
	cp src/config.example.toml out/msi/
	touch -d "@$SOURCE_DATE_EPOCH" out/msi/*
	(cd out/msi && wixl -a x64 -o profitd.msi ../../src/packaging/windows/profitd.wxs \
		-D "Version=$numbers" -D "FullVersion=$VERSION" \
		-D "ProductCode=$(code "product $VERSION")" -D "PackageCode=$(code "package $VERSION $(sha256sum ./*.exe ./*.toml)")")

	# The search path: wixl has no element for it.
	msibuild $db -q "CREATE TABLE \`Environment\` (\`Environment\` CHAR(72) NOT NULL, \`Name\` CHAR(255) NOT NULL LOCALIZABLE, \`Value\` CHAR(255) LOCALIZABLE, \`Component_\` CHAR(72) NOT NULL PRIMARY KEY \`Environment\`)"
	msibuild $db -q "INSERT INTO \`Environment\` (\`Environment\`, \`Name\`, \`Value\`, \`Component_\`) VALUES ('Path', '=-*Path', '[~];[INSTALLDIR]', 'Client')"
	msibuild $db -q "INSERT INTO \`InstallExecuteSequence\` (\`Action\`, \`Sequence\`) VALUES ('WriteEnvironmentStrings', 5200)"
	msibuild $db -q "INSERT INTO \`InstallExecuteSequence\` (\`Action\`, \`Sequence\`) VALUES ('RemoveEnvironmentStrings', 3300)"
	sign $db
	mv $db "$dest/profitd_${VERSION}_x64.msi"
}
