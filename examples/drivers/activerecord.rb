# activerecord.rb options|bind|variables: gives the key in FERNET_KEY to a session of ActiveRecord,
# as Rails does, and prints the fingerprint that the session has. "variables" shows the wrong way.
require 'active_record'
require 'erb'
require 'yaml'

database_yml = <<'END'
adapter: postgresql
database: app
END
database_yml += <<'END' if ARGV[0] == 'options'
options: "-c fernet.key=<%= ENV['FERNET_KEY'] %>"
END
database_yml += <<'END' if ARGV[0] == 'variables'
variables:
  fernet.key: "<%= ENV['FERNET_KEY'] %>"
END

ActiveRecord::Base.establish_connection(YAML.safe_load(ERB.new(database_yml).result))
conn = ActiveRecord::Base.connection
if ARGV[0] == 'bind'
  key = ENV.fetch('FERNET_KEY')
  conn.raw_connection.exec_params("SELECT set_config('fernet.key', $1, false)", [key])
end
puts conn.select_value('SELECT fingerprint FROM fernet_keys()')
