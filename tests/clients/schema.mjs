// The committed schema, judged: what a good public schema has, and whether the last change breaks a client.
//
//   node schema.mjs SCHEMA [BASE]      BASE is the schema before the change, when there is one

import { readFileSync } from 'node:fs';
import {
  BreakingChangeType, buildSchema, findBreakingChanges, isEnumType, isInputObjectType, isInterfaceType, isIntrospectionType,
  isObjectType, isSpecifiedDirective, isSpecifiedScalarType, getNamedType, isListType, isNonNullType, validateSchema,
} from 'graphql';

const [path, base, permitted] = process.argv.slice(2);
const schema = buildSchema(readFileSync(path, 'utf8'));
const found = [];
const demand = (holds, sentence) => holds || found.push(sentence);
const own = Object.values(schema.getTypeMap()).filter((type) => !isIntrospectionType(type) && !isSpecifiedScalarType(type));

demand(validateSchema(schema).length === 0, `no valid schema: ${validateSchema(schema)}`);

const described = (what, name) => {
  demand(what.description?.trim(), `${name} has no description`);
  demand(!('deprecationReason' in what) || what.deprecationReason !== '', `${name} is deprecated without a reason`);
};
const fields = (type) => Object.values(type.getFields());
for (const type of own) {
  described(type, type.name);
  demand(/^[A-Z][A-Za-z0-9]*$/.test(type.name), `${type.name} is not in PascalCase`);
  if (isEnumType(type)) {
    for (const value of type.getValues()) {
      described(value, `${type.name}.${value.name}`);
      demand(/^[A-Z][A-Z0-9_]*$/.test(value.name), `${type.name}.${value.name} is not in capitals`);
    }
  }
  if (isObjectType(type) || isInterfaceType(type) || isInputObjectType(type)) {
    for (const field of fields(type)) {
      described(field, `${type.name}.${field.name}`);
      demand(/^[a-z][A-Za-z0-9]*$/.test(field.name), `${type.name}.${field.name} is not in camelCase`);
      for (const argument of field.args ?? []) {
        described(argument, `${type.name}.${field.name}(${argument.name}:)`);
        demand(/^[a-z][A-Za-z0-9]*$/.test(argument.name), `the argument ${argument.name} of ${field.name} is not in camelCase`);
      }
    }
  }
}
for (const directive of schema.getDirectives().filter((directive) => !isSpecifiedDirective(directive))) {
  described(directive, `@${directive.name}`);
}

// Relay's specification of connections.
const typed = (type, name) => type?.getFields()[name]?.type;
const page = schema.getType('PageInfo');
for (const [name, kind] of [['hasNextPage', 'Boolean!'], ['hasPreviousPage', 'Boolean!'], ['startCursor', 'String'], ['endCursor', 'String']]) {
  demand(String(typed(page, name)) === kind, `PageInfo.${name} is not ${kind}`);
}
for (const type of own.filter((type) => isObjectType(type))) {
  if (type.name.endsWith('Connection')) {
    demand(String(typed(type, 'pageInfo')) === 'PageInfo!', `${type.name}.pageInfo is not PageInfo!`);
    const edges = typed(type, 'edges');
    demand(edges && isListType(isNonNullType(edges) ? edges.ofType : edges), `${type.name}.edges is no list`);
    const edge = edges && getNamedType(edges);
    demand(edge?.name.endsWith('Edge'), `${type.name}.edges is no list of edges`);
    demand(String(typed(edge, 'cursor')) === 'String!', `${edge?.name}.cursor is not String!`);
    demand(typed(edge, 'node'), `${edge?.name} has no node`);
  }
  for (const field of fields(type).filter((field) => getNamedType(field.type).name.endsWith('Connection'))) {
    const kind = (name) => String(field.args.find((argument) => argument.name === name)?.type);
    for (const [name, expected] of [['first', 'Int'], ['after', 'String'], ['last', 'Int'], ['before', 'String']]) {
      demand(kind(name) === expected, `${type.name}.${field.name}(${name}:) is not ${expected}`);
    }
  }
}

// Mutations take one input and answer with a payload of their own.
for (const field of fields(schema.getMutationType())) {
  const stem = field.name[0].toUpperCase() + field.name.slice(1);
  demand(field.args.length === 1 && String(field.args[0].type) === `${stem}Input!`, `${field.name} does not take ${stem}Input!`);
  demand(getNamedType(field.type).name === `${stem}Payload`, `${field.name} does not answer ${stem}Payload`);
}
console.log(found.length === 0 ? 'ok the schema is as a good one is' : `FAILED the schema:\n${found.join('\n')}`);

if (base) {
  const breaks = findBreakingChanges(buildSchema(readFileSync(base, 'utf8')), schema);
  const told = breaks.map((change) => `${BreakingChangeType[change.type]}: ${change.description}`).join('\n');
  const fine = breaks.length === 0 || permitted === 'permitted';
  console.log(fine ? `ok the change of the schema breaks no client${told && ` but as it says:\n${told}`}` : `FAILED it breaks clients:\n${told}`);
}
