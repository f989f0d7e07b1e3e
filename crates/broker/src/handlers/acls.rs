//! Rules: shown, made and taken away.

use kafka_protocol::{
    messages::{
        CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
        DescribeAclsResponse,
        create_acls_request::AclCreation,
        create_acls_response::AclCreationResult,
        delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl},
        describe_acls_response::{AclDescription, DescribeAclsResource},
    },
    protocol::StrBytes,
};
use security::acl::{Acl, AclFilter, Operation as Op, Pattern, PatternFilter, Permission, ResourceType};

use super::{errors, text, told};
use crate::{
    access::{CLUSTER, Operation},
    dispatch::Context,
};

/// In filters: whatever it is.
const ANY: i8 = 1;

/// Why a request is not answered: nobody may, this client may not, or there are no rules here.
fn refusal(context: &Context, operation: Operation) -> Option<(i16, Option<StrBytes>)> {
    if let Err(code) = context.authorize(operation, CLUSTER) {
        return Some((code, None));
    }
    let why = "no authorizer is configured: rules would be kept and not obeyed";
    (!context.shared.security.settings.authorizer).then(|| (errors::SECURITY_DISABLED, Some(why.into())))
}

pub(crate) async fn describe(context: &Context, request: DescribeAclsRequest) -> DescribeAclsResponse {
    if let Some((code, why)) = refusal(context, Operation::Describe) {
        return DescribeAclsResponse::default().with_error_code(code).with_error_message(why);
    }
    let filter = filter(Asked {
        resource_type: request.resource_type_filter,
        resource: request.resource_name_filter,
        pattern: request.pattern_type_filter,
        principal: request.principal_filter,
        host: request.host_filter,
        operation: request.operation,
        permission: request.permission_type,
    });
    let filter = match filter {
        Ok(filter) => filter,
        Err(why) => {
            let response = DescribeAclsResponse::default().with_error_code(errors::INVALID_REQUEST);
            return response.with_error_message(Some(why.into()));
        }
    };
    let found = context.shared.security.acls(&filter);
    let resource = |acl: &Acl| (acl.resource_type, acl.resource.clone(), acl.pattern);
    let rule = |acl: &Acl| {
        AclDescription::default()
            .with_principal(text(&acl.principal))
            .with_host(text(&acl.host))
            .with_operation(acl.operation as i8)
            .with_permission_type(acl.permission as i8)
    };
    // Rules come in the order of their resources.
    let resources = found.chunk_by(|a, b| resource(a) == resource(b)).map(|acls| {
        DescribeAclsResource::default()
            .with_resource_type(acls[0].resource_type as i8)
            .with_resource_name(text(&acls[0].resource))
            .with_pattern_type(acls[0].pattern as i8)
            .with_acls(acls.iter().map(rule).collect())
    });
    DescribeAclsResponse::default().with_resources(resources.collect())
}

pub(crate) async fn create(context: &Context, request: CreateAclsRequest) -> CreateAclsResponse {
    let answer = |results| CreateAclsResponse::default().with_results(results);
    let row = |code, why| AclCreationResult::default().with_error_code(code).with_error_message(why);
    if let Some((code, why)) = refusal(context, Operation::Alter) {
        return answer(request.creations.iter().map(|_| row(code, why.clone())).collect());
    }
    // Each rule stands for itself: the good ones are made.
    let wanted: Vec<_> = request.creations.iter().map(acl).collect();
    let good = wanted.iter().filter_map(|acl| acl.as_ref().ok()).cloned().collect();
    let made = context.shared.security.create_acls(good, context.client.principal()).await;
    let result = |wanted: Result<Acl, &'static str>| match (wanted, &made) {
        (Err(why), _) => row(errors::INVALID_REQUEST, Some(why.into())),
        (Ok(_), Err(error)) => {
            let (code, why) = told(error);
            row(code, why)
        }
        (Ok(acl), Ok(())) => {
            tracing::info!(?acl, by = %context.client.principal(), "rule made");
            row(0, None)
        }
    };
    answer(wanted.into_iter().map(result).collect())
}

pub(crate) async fn delete(context: &Context, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let answer = |results| DeleteAclsResponse::default().with_filter_results(results);
    let row = |code, why| DeleteAclsFilterResult::default().with_error_code(code).with_error_message(why);
    if let Some((code, why)) = refusal(context, Operation::Alter) {
        return answer(request.filters.iter().map(|_| row(code, why.clone())).collect());
    }
    let filters = request.filters.into_iter().map(|asked| {
        filter(Asked {
            resource_type: asked.resource_type_filter,
            resource: asked.resource_name_filter,
            pattern: asked.pattern_type_filter,
            principal: asked.principal_filter,
            host: asked.host_filter,
            operation: asked.operation,
            permission: asked.permission_type,
        })
    });
    let filters: Vec<Result<AclFilter, &'static str>> = filters.collect();
    let good: Vec<AclFilter> = filters.iter().filter_map(|filter| filter.as_ref().ok()).cloned().collect();
    let mut gone = match context.shared.security.delete_acls(&good).await {
        Ok(gone) => gone.into_iter(),
        Err(error) => {
            let (code, why) = told(&error);
            return answer(filters.iter().map(|_| row(code, why.clone())).collect());
        }
    };
    let matching = |acl: Acl| {
        tracing::info!(?acl, by = %context.client.principal(), "rule taken away");
        DeleteAclsMatchingAcl::default()
            .with_error_message(None) // as Kafka; the protocol's default is an empty one
            .with_resource_type(acl.resource_type as i8)
            .with_resource_name(text(&acl.resource))
            .with_pattern_type(acl.pattern as i8)
            .with_principal(text(&acl.principal))
            .with_host(text(&acl.host))
            .with_operation(acl.operation as i8)
            .with_permission_type(acl.permission as i8)
    };
    let result = |filter: &Result<AclFilter, &'static str>| match filter {
        Ok(_) => {
            let acls = gone.next().expect("one for each good filter");
            row(0, None).with_matching_acls(acls.into_iter().map(matching).collect())
        }
        Err(why) => row(errors::INVALID_REQUEST, Some((*why).into())),
    };
    answer(filters.iter().map(result).collect())
}

fn acl(asked: &AclCreation) -> Result<Acl, &'static str> {
    let acl = Acl {
        resource_type: ResourceType::from_wire(asked.resource_type).ok_or("that is no type of a resource")?,
        resource: asked.resource_name.to_string(),
        pattern: Pattern::from_wire(asked.resource_pattern_type).ok_or("a pattern is literal or prefixed")?,
        principal: asked.principal.to_string(),
        host: asked.host.to_string(),
        operation: Op::from_wire(asked.operation).ok_or("that is no operation")?,
        permission: Permission::from_wire(asked.permission_type).ok_or("a rule allows or denies")?,
    };
    acl.check().map(|()| acl)
}

/// A filter as it comes.
struct Asked {
    resource_type: i8,
    resource: Option<StrBytes>,
    pattern: i8,
    principal: Option<StrBytes>,
    host: Option<StrBytes>,
    operation: i8,
    permission: i8,
}

fn filter(asked: Asked) -> Result<AclFilter, &'static str> {
    fn one<T>(number: i8, read: fn(i8) -> Option<T>, why: &'static str) -> Result<Option<T>, &'static str> {
        if number == ANY { Ok(None) } else { read(number).map(Some).ok_or(why) }
    }
    let owned = |text: Option<StrBytes>| text.map(|text| text.to_string());
    Ok(AclFilter {
        resource_type: one(asked.resource_type, ResourceType::from_wire, "that is no type of a resource")?,
        resource: owned(asked.resource),
        pattern: PatternFilter::from_wire(asked.pattern).ok_or("that is no kind of a pattern")?,
        principal: owned(asked.principal),
        host: owned(asked.host),
        operation: one(asked.operation, Op::from_wire, "that is no operation")?,
        permission: one(asked.permission, Permission::from_wire, "a rule allows or denies")?,
    })
}
